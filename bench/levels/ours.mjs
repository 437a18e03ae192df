// Our half: files of llm-quantize.
import path from "node:path";
import {programOf, run, threads} from "./programs.mjs";

const invalidArguments = 2, unsupportedConversion = 8;   // exit codes for a level that cannot be written

export function writeGguf(model, level, file, ...more) {
    try {
        return run(programOf("LLMQ_BIN"), ["--threads", threads, "--verbosity", "quiet", "quantize", model, "gguf", "-q", level,
            "-o", path.dirname(file), "-n", path.basename(file, ".gguf"), "--no-checkpoints", "--force", ...more]);
    } catch (error) {
        throw Object.assign(error, {unsupported: [invalidArguments, unsupportedConversion].includes(error.code)});
    }
}

export function ourFile({model, imatrix, ours}, level) {
    const file = path.join(ours, `${level}.gguf`);
    const {seconds} = writeGguf(model, level, file, "--imatrix", imatrix);
    return {file, seconds};
}
