// What all levels share: texts, the original as GGUF, its probabilities, the importance matrix.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import {writeGguf} from "./ours.mjs";
import {makeImatrix, saveProbabilities} from "./stock.mjs";

const leastScores = 5000;
const texts = path.join(import.meta.dirname, "../../configs/text");

const hash = (file) => crypto.createHash("sha256").update(fs.readFileSync(file)).digest("hex").slice(0, 16);
const number = (variable, otherwise) => Number(process.env[variable] ?? otherwise);

/** Makes `what` by `make(part)` unless it is there; an interrupted run leaves no half file under the name. */
function once(what, make) {
    if (fs.existsSync(what)) return what;
    const part = what.replace(/(\.\w+)$/, ".part$1");
    make(part);
    fs.renameSync(part, what);
    return what;
}

/** The text that the folder has, or gets now; another one asked for is an error. */
function keepText(out, name, asked) {
    const kept = once(path.join(out, name), (file) => fs.copyFileSync(asked ?? path.join(texts, name), file));
    if (asked && hash(asked) !== hash(kept)) throw new Error(`${kept} is not ${asked}: take another directory`);
    return kept;
}

/** Lengths and the model; those of an earlier run where nothing else is asked for. */
function makeSetup(out, model) {
    const kept = path.join(out, "setup.json");
    const before = fs.existsSync(kept) ? JSON.parse(fs.readFileSync(kept, "utf8")) : undefined;
    const {max_position_embeddings: longest = 512} = JSON.parse(fs.readFileSync(path.join(model, "config.json"), "utf8"));
    const ctx = number("CTX", before?.ctx ?? Math.min(512, longest));
    const chunks = number("CHUNKS", before?.chunks ?? Math.ceil(leastScores / (ctx / 2 - 1)));   // the second half of a chunk is scored
    const setup = {model: path.basename(path.resolve(model)), ctx, chunks};
    if (!before) fs.writeFileSync(kept, JSON.stringify(setup) + "\n");
    else if (JSON.stringify(before) !== JSON.stringify(setup)) throw new Error(`${kept} is of another setup: take another directory`);
    return setup;
}

/** Opens `out`, or fills it for a checkpoint. */
export function makeFolder(out, model) {
    for (const part of ["stock", "ours"]) fs.mkdirSync(path.join(out, part), {recursive: true});
    const folder = {model, setup: makeSetup(out, model), stock: path.join(out, "stock"), ours: path.join(out, "ours")};
    folder.calibration = keepText(out, "calibration.txt", process.env.CALIBRATION);
    folder.evaluation = keepText(out, "evaluation.txt", process.env.EVALUATION);
    folder.original = once(path.join(out, "original.gguf"), (file) => writeGguf(model, "F32", file));
    folder.imatrix = once(path.join(out, "imatrix.gguf"), (file) => makeImatrix(folder, file));
    folder.probabilities = once(path.join(out, "original.kld"), (file) => saveProbabilities(folder, file));
    return folder;
}
