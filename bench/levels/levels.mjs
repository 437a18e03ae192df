// Every level made by us and by the stock quantizer from the same weights and importance matrix; see ./run.
import fs from "node:fs";
import path from "node:path";
import {makeFolder} from "./setup.mjs";
import {divergence, stockFile} from "./stock.mjs";
import {ourFile} from "./ours.mjs";
import {summarize, table} from "./table.mjs";

const everyLevel = ("Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ1_S IQ1_M IQ2_XXS "
    + "IQ2_XS IQ2_S IQ2_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS TQ1_0 TQ2_0").split(" ");

function readArguments(words) {
    const options = {stockOnly: false, json: false};
    const rest = [];
    for (let i = 0; i < words.length; i++) {
        if (words[i] === "--stock-only") options.stockOnly = true;
        else if (words[i] === "--format") options.json = words[++i] === "json";
        else if (words[i].startsWith("-")) throw new Error(`no such option: ${words[i]}`);
        else rest.push(words[i]);
    }
    const [out, model, ...levels] = rest;
    if (!model) throw new Error("usage: bench/levels/run [--stock-only] [--format json] OUTDIR MODEL_DIR [LEVEL...]");
    return {...options, out, model, levels: levels.length > 0 ? levels : everyLevel};
}

/** A file and what it is worth, or a note why there is none. */
function judge(folder, make, level) {
    try {
        const {file, seconds} = make(folder, level);
        return {bytes: fs.statSync(file).size, seconds, ...divergence(folder, file)};
    } catch (error) {
        return {note: error.unsupported ? "not written yet" : error.message, unsupported: error.unsupported ?? false};
    }
}

/** The stock half of a level, from `folder` if it was made before. */
function stockHalf(folder, level) {
    const kept = path.join(folder.stock, `${level}.json`);
    if (fs.existsSync(kept)) return JSON.parse(fs.readFileSync(kept, "utf8"));
    const result = judge(folder, stockFile, level);
    if (!result.note) fs.writeFileSync(kept, JSON.stringify(result));
    return result;
}

function compare(options) {
    const folder = makeFolder(options.out, options.model);
    const results = options.levels.map((level) => {
        const started = Date.now();
        const theirs = stockHalf(folder, level);
        const ours = options.stockOnly ? {note: "not asked for", unsupported: true} : judge(folder, ourFile, level);
        process.stderr.write(`${level}: ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
        return {level, ours, theirs};
    });
    return {...folder.setup, levels: results, summary: summarize(results)};
}

try {
    const options = readArguments(process.argv.slice(2));
    const report = compare(options);
    const json = JSON.stringify(report, null, 2) + "\n";
    fs.writeFileSync(path.join(options.out, "result.json"), json);
    process.stdout.write(options.json ? json : table(report));
    // A level that we do not write yet is no failure; one that we should and could not is.
    process.exitCode = report.levels.some(({ours}) => ours.note && !ours.unsupported) ? 1 : 0;
} catch (error) {
    process.stderr.write(`bench/levels: ${error.message}\n`);
    process.exitCode = 2;
}
