// Stock llama.cpp as the judge: it must load every file we write, see the same token ids, and agree with our
// perplexity (quality.sh does so with many more scores, and with KL divergence). Run by ctest with LLMQ_BIN, LLMQ_PRINT_IDS and LLMQ_TEST_DATA set.
import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {getLlama} from "node-llama-cpp";
import {copyCheckpoint, readTensors, withBiases, writeShards} from "./checkpoints.mjs";
import {evaluate, perplexity} from "./probabilities.mjs";

const {LLMQ_BIN: tool, LLMQ_PRINT_IDS: printIds, LLMQ_TEST_DATA: data, LLMQ_TEXT: codeText} = process.env;
const storyText = path.join(data, "text", "story.txt");   // what the stories models were trained on
const work = fs.mkdtempSync(path.join(os.tmpdir(), "llmq-interop-"));
const run = (program, args) => execFileSync(program, args, {encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28});
const ours = (...args) => run(tool, ["--verbosity", "quiet", ...args]);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});

const allLevels = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"];

const within = (a, b, share, what) => {
    console.log(`${what}: ours ${a.toFixed(6)}, stock ${b.toFixed(6)}`);
    assert.ok(Math.abs(a - b) <= share * Math.abs(b), `${what} differs by more than ${100 * share} %`);
};

/** The model's own ids, checked against ours, cut as the evaluation protocol says. */
async function makeChunks(source, file, text, ctx, count) {
    const name = path.basename(source);
    const model = await llama.loadModel({modelPath: file});
    const stock = [model.tokens.bos, ...model.tokenize(fs.readFileSync(text, "utf8"), false)];
    const mine = JSON.parse(run(printIds, [source, text]));
    assert.deepEqual(mine, stock, `${name}: token ids differ`);
    for (const odd of ["  two  spaces ", "", "\n\n tab\tand Käse 🦙 \u0001", "x", "   ", "a  b   c\n \n  d"]) {
        const file2 = path.join(work, "odd.txt");
        fs.writeFileSync(file2, odd);
        assert.deepEqual(JSON.parse(run(printIds, [source, file2])).slice(1), [...model.tokenize(odd, false)], JSON.stringify(odd));
    }
    await model.dispose();
    const chunks = [];
    for (let at = 0; at + ctx <= stock.length && chunks.length < count; at += ctx) {
        chunks.push([stock[0], ...stock.slice(at + 1, at + ctx)]);
    }
    return chunks;
}

async function checkModel(source, text, ctx, count, judged, levels) {
    const name = path.basename(source);
    for (const level of levels) ours("quantize", source, "gguf", "-q", level, "-o", work);
    const file = (level) => path.join(work, `${name}-${level}.gguf`);
    const chunks = await makeChunks(source, file("F32"), text, ctx, count);
    const base = await evaluate(llama, file("F32"), chunks);
    for (const level of levels) {
        const stock = await evaluate(llama, file(level), chunks.slice(0, judged.includes(level) ? chunks.length : 1));
        assert.ok(stock.every(({row}) => row.every(Number.isFinite)), `${name} ${level}: not finite`);
        if (!judged.includes(level)) continue;
        const report = JSON.parse(ours("--format", "json", "quality", "report", source, file(level), "--text", text,
            "--ctx", String(ctx), "--chunks", String(count))).metrics;
        assert.equal(report.scores, stock.length);
        within(report.perplexity_original, perplexity(base), 0.002, `${name} perplexity of the original`);
        const plain = ["F32", "F16", "BF16"].includes(level);
        within(report.perplexity_quantized, perplexity(stock), plain ? 0.002 : 0.01, `${name} ${level} perplexity`);
    }
}

/** pebble's weights under other settings: nonsense as a model, exact as a comparison. */
const variant = (name, settings) => copyCheckpoint(path.join(data, "pebble"), path.join(work, name), settings);

/** Biases on every projection (q and k rows are permuted on the way to GGUF, so theirs are too), in three shards. */
function biasedShards() {
    const directory = variant("biased", {attention_bias: true, mlp_bias: true});
    writeShards(directory, withBiases(readTensors(directory)), 3);
    return directory;
}

try {
    await checkModel(path.join(data, "pebble"), codeText, 256, 1, ["F32", "Q8_0"], allLevels);
    await checkModel(path.join(data, "stories260k"), storyText, 128, 2, ["F32", "Q8_0"], allLevels);
    await checkModel(path.join(data, "stories260k-wide256"), storyText, 128, 2, ["F32", "Q4_K_M"], allLevels);
    await checkModel(variant("llama3", {rope_theta: 500000, rope_scaling: {rope_type: "llama3", factor: 8,
        low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64}}), codeText, 256, 1, ["F32"], ["F32"]);
    await checkModel(variant("linear", {rope_scaling: {type: "linear", factor: 2}}), codeText, 256, 1, ["F32"], ["F32"]);
    await checkModel(biasedShards(), codeText, 256, 1, ["F32", "Q8_0"], ["F32", "Q8_0"]);
    console.log("stock llama.cpp agrees");
} finally {
    fs.rmSync(work, {recursive: true, force: true});
}
process.exit(0);
