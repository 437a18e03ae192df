// Level dynamic beside our own file levels of the same size, both judged by the stock runtime; see ./dynamic.
import fs from "node:fs";
import path from "node:path";
import {makeFolder} from "./setup.mjs";
import {ourFile, writeGguf} from "./ours.mjs";
import {divergence} from "./stock.mjs";

const [out, model, ...asked] = process.argv.slice(2);
const levels = asked.length > 0 ? asked : ["IQ2_XS", "Q2_K", "Q3_K_M", "Q4_K_M"];

/** A dynamic file of at most `bytes`, and what it was predicted to be. */
function dynamicFile(folder, level, bytes) {
    const file = path.join(folder.ours, `${level}-dynamic.gguf`);
    const {output} = writeGguf(folder.model, "dynamic", file, "--imatrix", folder.imatrix, "--calibration-data", folder.calibration,
        "--target-size", `${bytes}B`, "--format", "json");
    return {file, predicted: JSON.parse(output).prediction};
}

function compare(folder, level) {
    const fixed = ourFile(folder, level).file;
    const bytes = fs.statSync(fixed).size;
    const dynamic = dynamicFile(folder, level, bytes);
    return {level, bytes, dynamicBytes: fs.statSync(dynamic.file).size, fixed: divergence(folder, fixed),
        dynamic: divergence(folder, dynamic.file), predicted: dynamic.predicted};
}

const number = (value, digits) => value.toFixed(digits);
const withError = ({kld, kldError}) => `${number(kld, 6)} ± ${number(kldError, 6)}`;

if (!model) {
    process.stderr.write("usage: bench/levels/dynamic OUTDIR MODEL_DIR [LEVEL...]\n");
    process.exit(2);
}
const folder = makeFolder(out, model);
const rows = levels.map((level) => compare(folder, level));
const ratios = rows.map(({fixed, dynamic}) => dynamic.kld / fixed.kld);
console.log("| size of | bytes level / dynamic | KL level | KL dynamic | ratio | predicted |\n|---|---|---|---|---|---|");
for (const [i, row] of rows.entries()) {
    console.log(`| ${row.level} | ${row.bytes} / ${row.dynamicBytes} | ${withError(row.fixed)} | ${withError(row.dynamic)} `
        + `| ${number(ratios[i], 3)} | ${number(row.predicted.kld, 6)} |`);
}
console.log(`mean ratio ${number(ratios.reduce((a, b) => a + b) / ratios.length, 3)}, largest ${number(Math.max(...ratios), 3)}`);
