// The programs of stock llama.cpp: quantizer, importance matrix, judge.
import path from "node:path";
import fs from "node:fs";
import {programOf, run, threads} from "./programs.mjs";

const evaluation = ({ctx, chunks}) => ["-f", process.env.EVALUATION, "-c", String(ctx), "-b", String(ctx), "--chunks", String(chunks),
    "-t", threads, "-fa", "off", "-ctk", "f32", "-ctv", "f32"];

export function makeImatrix({original, setup: {ctx}}, file) {
    run(programOf("LLAMA_IMATRIX"), ["-m", original, "-f", process.env.CALIBRATION, "-c", String(ctx), "-b", String(ctx), "-t", threads,
        "--no-ppl", "-o", file]);
}

export function saveProbabilities({original, setup}, file) {
    run(programOf("LLAMA_PERPLEXITY"), ["-m", original, "--kl-divergence-base", file, ...evaluation(setup)]);
}

export function stockFile({original, imatrix, stock}, level) {
    const file = path.join(stock, `${level}.gguf`);
    fs.rmSync(file, {force: true});
    const {seconds} = run(programOf("LLAMA_QUANTIZE"), ["--imatrix", imatrix, original, file, level, threads]);
    return {file, seconds};
}

/** Mean of a statistic of llama-perplexity and its standard error. */
function statistic(output, name) {
    const found = output.match(new RegExp(`${name}\\s*:\\s*([-\\d.]+)\\s*±\\s*([-\\d.]+)`));
    if (!found) throw new Error(`llama-perplexity printed no ${name}`);
    return found.slice(1).map(Number);
}

/** KL divergence of a file from the original. */
export function divergence({probabilities, setup}, file) {
    const {output} = run(programOf("LLAMA_PERPLEXITY"),
        ["-m", file, "--kl-divergence-base", probabilities, "--kl-divergence", ...evaluation(setup)]);
    const [kld, kldError] = statistic(output, "Mean\\s+KLD");
    const [perplexity] = statistic(output, "Mean PPL\\(Q\\)");
    const [sameTop] = statistic(output, "Same top p");
    return {kld, kldError, perplexity, sameTop};
}
