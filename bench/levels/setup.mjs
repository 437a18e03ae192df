// What all levels share: the original as GGUF, its probabilities, the importance matrix.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import {writeGguf} from "./ours.mjs";
import {makeImatrix, saveProbabilities} from "./stock.mjs";

const leastScores = 5000;

const hash = (file) => crypto.createHash("sha256").update(fs.readFileSync(file)).digest("hex").slice(0, 16);

function describe(model) {
    const {max_position_embeddings: longest = 512} = JSON.parse(fs.readFileSync(path.join(model, "config.json"), "utf8"));
    const ctx = Number(process.env.CTX ?? Math.min(512, longest));
    const chunks = Number(process.env.CHUNKS ?? Math.ceil(leastScores / (ctx / 2 - 1)));   // the second half of a chunk is scored
    return {ctx, chunks, calibration: hash(process.env.CALIBRATION), evaluation: hash(process.env.EVALUATION)};
}

/** Makes `what` by `make(part)` unless it is there; an interrupted run leaves no half file under the name. */
function once(what, make) {
    if (fs.existsSync(what)) return what;
    const part = what.replace(/(\.\w+)$/, ".part$1");
    make(part);
    fs.renameSync(part, what);
    return what;
}

/** Opens or fills `out` for a checkpoint; results of other texts or lengths in it are an error. */
export function makeFolder(out, model) {
    for (const part of ["stock", "ours"]) fs.mkdirSync(path.join(out, part), {recursive: true});
    const original = once(path.join(out, "original.gguf"), (file) => writeGguf(model, "F32", file));
    const setup = {...describe(model), original: hash(original)};
    const kept = path.join(out, "setup.json");
    if (!fs.existsSync(kept)) fs.writeFileSync(kept, JSON.stringify(setup));
    if (fs.readFileSync(kept, "utf8") !== JSON.stringify(setup)) throw new Error(`${out} holds results of another setup: ${kept}`);
    const folder = {model, original, setup, stock: path.join(out, "stock"), ours: path.join(out, "ours")};
    folder.imatrix = once(path.join(out, "imatrix.gguf"), (file) => makeImatrix(folder, file));
    folder.probabilities = once(path.join(out, "original.kld"), (file) => saveProbabilities(folder, file));
    return folder;
}
