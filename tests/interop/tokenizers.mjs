// Stock llama.cpp as the judge of our tokenizers: the same ids for each line of a text in many scripts, for the text as a whole and
// for llama.cpp's own records. Ours come from the tokenizer files of a directory, from the GGUF file that convert makes of it, and
// from the directory that convert makes of that; and from the whole vocabularies that stand among the sources of llama.cpp.
// Words on the command line are further directories with tokenizers. Environment as interop.mjs.
import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import {createHash} from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {getLlama} from "node-llama-cpp";

const {LLMQ_BIN: tool, LLMQ_PRINT_RECORD_IDS: printIds, LLMQ_MAKE_MODEL: makeModel, LLMQ_TEST_DATA: data} = process.env;
const here = path.dirname(fileURLToPath(import.meta.url));
const work = fs.mkdtempSync(path.join(os.tmpdir(), "llmq-tokenizers-"));
const at = (name) => path.join(work, name);
const run = (program, args) => execFileSync(program, args, {encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28});
const convert = (...args) => run(tool, ["--verbosity", "quiet", "convert", ...args, "-o", work]);
// Of files without weights it says that it cannot load them, and has their vocabulary all the same.
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "disabled"});

const tokenizers = path.join(data, "tokenizers");
const read = (name) => fs.readFileSync(path.join(tokenizers, name), "utf8");
const text = read("mixed/text.txt");
const lines = text.split("\n").slice(0, -1);
const records = read("ggml-vocab-gpt-2.gguf.inp").split("\n__ggml_vocab_test__\n").slice(0, -1);
const all = [...lines, ...records, text, text.replaceAll("\n", "\r\n"), lines.join(" "), lines.join("\n\n \t")];
assert.equal(lines.length, 200);
assert.equal(records.length, 46);
fs.writeFileSync(at("records"), all.join("\0"));

/** Ids of all records by our tokenizer of a directory or GGUF file. */
const ours = (place) => run(printIds, [place, at("records")]).trimEnd().split("\n").map((line) => JSON.parse(line));

async function stock(file) {
    const model = await llama.loadModel({modelPath: file, vocabOnly: true});
    const ids = all.map((record) => [...model.tokenize(record, false)]);
    await model.dispose();
    return ids;
}

let failed = 0;
function fail(message) {
    console.log(`FAIL: ${message}`);
    failed++;
}

function compare(name, mine, theirs) {
    const same = (i) => JSON.stringify(mine[i]) === JSON.stringify(theirs[i]);
    const different = all.map((_, i) => i).filter((i) => !same(i));
    const count = theirs.reduce((sum, ids) => sum + ids.length, 0);
    console.log(`${name}: ${all.length - different.length} of ${all.length} texts have the same ids (${count})`);
    for (const i of different.slice(0, 10)) {
        const first = theirs[i].findIndex((id, k) => id !== mine[i]?.[k]);
        fail(`text ${i}, ${JSON.stringify(all[i].slice(0, 100))}: from id ${first} ours ${mine[i]?.slice(first, first + 8)}, stock ${theirs[i].slice(first, first + 8)}`);
    }
    if (mine.length !== theirs.length) fail(`${name}: ${mine.length} answers`);
}

/** Against ids that llama.cpp publishes, which came from the models' own tokenizers. */
function compareRecords(name, mine) {
    const wanted = read(`ggml-vocab-${name}.gguf.out`).split("\n").slice(0, -1).map((line) => line.trim());
    assert.equal(wanted.length, records.length);
    wanted.forEach((ids, i) => {
        if (mine[lines.length + i].join(" ") !== ids) fail(`${name}: published record ${i}`);
    });
}

/** The hash that the unit test compares with. */
function checkHash(name, theirs) {
    const listed = read("mixed/ids.txt").split("\n").find((line) => line.startsWith(`${name} `));
    if (listed === undefined) return;
    const ids = theirs.slice(0, lines.length).map((line) => line.map((id) => `${id} `).join("") + "\n").join("");
    const hash = createHash("sha256").update(ids).digest("hex");
    if (listed !== `${name} ${hash}`) fail(`mixed/ids.txt should have ${name} ${hash}`);
}

async function checkDirectory(directory) {
    const name = path.basename(directory);
    run(makeModel, [at(name), directory, "1", "128", "64", "LlamaForCausalLM"]);
    convert(at(name), "gguf", "-n", name);
    convert(at(`${name}.gguf`), "hf", "-n", `${name}-hf`);
    const theirs = await stock(at(`${name}.gguf`));
    compare(name, ours(directory), theirs);
    compare(`${name}.gguf`, ours(at(`${name}.gguf`)), theirs);
    compare(`${name}-hf`, ours(at(`${name}-hf`)), theirs);
    checkHash(name, theirs);
    for (const made of [name, `${name}-hf`, `${name}.gguf`]) fs.rmSync(at(made), {recursive: true});
}

const supported = ["command-r", "gpt-2", "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2", "refact", "starcoder"];
const published = ["gpt-2", "qwen2", "llama-spm", "llama-bpe"];
/** Whole vocabularies: the directories above hold what the texts can touch. */
async function checkVocabularies() {
    const bundle = path.join(here, "node_modules/node-llama-cpp/llama/gitRelease.bundle");
    run("git", ["clone", "-q", "--no-checkout", bundle, at("stock")]);
    run("git", ["-C", at("stock"), "checkout", "-q", "HEAD", "--", ...supported.map((name) => `models/ggml-vocab-${name}.gguf`)]);
    for (const name of supported) {
        const file = at(`stock/models/ggml-vocab-${name}.gguf`);
        const mine = ours(file);
        compare(`vocabulary ${name}`, mine, await stock(file));
        if (published.includes(name)) compareRecords(name, mine);
    }
}

try {
    const directories = ["gpt-2", "qwen2.5", "mistral-v1"].map((name) => path.join(tokenizers, "mixed", name));
    for (const directory of [...directories, ...process.argv.slice(2)]) await checkDirectory(directory);
    await checkVocabularies();
} finally {
    fs.rmSync(work, {recursive: true, force: true});
}
if (failed > 0) process.exit(1);
console.log("stock llama.cpp sees the same ids");
process.exit(0);
