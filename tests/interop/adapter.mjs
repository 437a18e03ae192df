// A model with protected super weights and the LoRA adapter that makes them exact, in stock llama.cpp: both load, and
// on the file expanded to F32 the answer is that of our forward pass of the same weights. Environment as interop.mjs.
import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {getLlama} from "node-llama-cpp";
import {divergence, evaluate} from "./probabilities.mjs";

const {LLMQ_BIN: tool, LLMQ_PRINT_IDS: printIds, LLMQ_PRINT_PROBABILITIES: printProbabilities, LLMQ_PLANT_MODEL: plant,
    LLMQ_TEST_DATA: data, LLMQ_TEXT: text} = process.env;
const work = fs.mkdtempSync(path.join(os.tmpdir(), "llmq-adapter-"));
const run = (program, args) => execFileSync(program, args, {encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28});
const ours = (...args) => run(tool, ["--verbosity", "quiet", ...args]);
const at = (name) => path.join(work, name);

/** Our rows, from the file of f64 values. */
function readRows(file, count) {
    const bytes = fs.readFileSync(file);
    const values = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
    const width = values.length / count;
    return Array.from({length: count}, (_, i) => ({row: values.subarray(i * width, (i + 1) * width)}));
}

/** Probabilities that add up to one to more digits than single precision leaves them. */
const normalized = (rows) => rows.map(({row}) => {
    const sum = row.reduce((total, p) => total + p, 0);
    return {row: row.map((p) => p / sum)};
});

async function checkLevel(llama, level, chunks) {
    const result = JSON.parse(ours("--format", "json", "quantize", at("planted"), "gguf", "-q", level, "--imatrix", at("planted.imatrix"),
        "--protect-super-weights", "--super-weight-lora", at("adapter.gguf"), "--force", "-o", work, "-n", "small")).super_weight_protection;
    assert.ok(result.largest_relative_error > 0 && result.largest_relative_error <= 2 ** -11);
    const stock = await evaluate(llama, at("small.gguf"), chunks.slice(0, 1), at("adapter.gguf"));
    assert.ok(stock.every(({row}) => row.every(Number.isFinite)), `${level}: not finite`);
    ours("quantize", at("small.gguf"), "gguf", "-q", "F32", "--allow-requantize", "--force", "-o", work, "-n", "expanded");
    const without = await evaluate(llama, at("expanded.gguf"), chunks);
    // What the weights lack is little: a hundred times as much shows that every part of the adapter is applied.
    for (const scale of [1, 100]) {
        run(printProbabilities, [at("small.gguf"), at("planted"), at("planted.imatrix"), String(scale), at("ids.txt"), at("ours.bin")]);
        const moved = await evaluate(llama, at("expanded.gguf"), chunks, {adapters: [{filePath: at("adapter.gguf"), scale}]});
        const mine = readRows(at("ours.bin"), moved.length);
        const [far, near] = [divergence(mine, normalized(without)), divergence(mine, normalized(moved))];
        console.log(`${level}, scale ${scale}: KL divergence from our pass ${far.toExponential(2)} without, ${near.toExponential(2)} with the adapter`);
        assert.ok(Math.abs(near) < 1e-6, `${level}: the adapter does not restore the weights`);
        assert.ok(scale === 1 || far > 100 * Math.abs(near), `${level}: the adapter changes nothing`);
    }
}

try {
    fs.cpSync(path.join(data, "pebble"), at("planted"), {recursive: true});
    fs.chmodSync(at("planted/model.safetensors"), 0o644);
    run(plant, [at("planted"), "spike", "1", "77", "300", "20", "60"]);
    run(plant, [at("planted"), "spike", "2", "12", "555", "-15", "80"]);
    ours("analyze", at("planted"), "--identify-super-weights", "--calibration-samples", "64", "-o", at("planted.imatrix"));
    const ids = JSON.parse(run(printIds, [at("planted"), text]));
    const chunks = [0, 1, 2, 3].map((i) => [ids[0], ...ids.slice(256 * i + 1, 256 * (i + 1))]);
    fs.writeFileSync(at("ids.txt"), chunks.map((chunk) => chunk.join(" ") + "\n").join(""));
    const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});
    for (const level of ["Q2_K", "IQ2_XS", "Q4_K_M"]) await checkLevel(llama, level, chunks);
    console.log("stock llama.cpp restores the exact weights");
} finally {
    fs.rmSync(work, {recursive: true, force: true});
}
process.exit(0);
