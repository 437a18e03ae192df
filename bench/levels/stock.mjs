// The programs of stock llama.cpp: quantizer, importance matrix, judge.
import path from "node:path";
import fs from "node:fs";
import {programOf, run, threads} from "./programs.mjs";

const judging = ({evaluation, setup: {ctx, chunks}}) => ["-f", evaluation, "-c", String(ctx), "-b", String(ctx), "--chunks", String(chunks),
    "-t", threads, "-fa", "off", "-ctk", "f32", "-ctv", "f32"];

export function makeImatrix({original, calibration, setup: {ctx}}, file) {
    run(programOf("LLAMA_IMATRIX"), ["-m", original, "-f", calibration, "-c", String(ctx), "-b", String(ctx), "-t", threads,
        "--no-ppl", "-o", file]);
}

export function saveProbabilities(folder, file) {
    run(programOf("LLAMA_PERPLEXITY"), ["-m", folder.original, "--kl-divergence-base", file, ...judging(folder)]);
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

/** What llama-perplexity prints up to its last statistic: now and then it ends before its log is written. */
function judgement(folder, file) {
    for (let attempt = 0; attempt < 8; attempt++) {
        const {output} = run(programOf("LLAMA_PERPLEXITY"),
            ["-m", file, "--kl-divergence-base", folder.probabilities, "--kl-divergence", ...judging(folder)]);
        if (/Same top p.*%/.test(output)) return output;
    }
    throw new Error("llama-perplexity prints no statistics");
}

/** KL divergence of a file from the original. */
export function divergence(folder, file) {
    const output = judgement(folder, file);
    const [kld, kldError] = statistic(output, "Mean +KLD");
    const [perplexity] = statistic(output, "Mean PPL\\(Q\\)");
    const [sameTop] = statistic(output, "Same top p");
    return {kld, kldError, perplexity, sameTop};
}
