// Checkpoints made from another by hand: other settings, added bias vectors, several shards with an index.
import fs from "node:fs";
import path from "node:path";

/** Tensors of a single-file safetensors checkpoint: [{name, dtype, shape, bytes}]. */
export function readTensors(directory) {
    const file = fs.readFileSync(path.join(directory, "model.safetensors"));
    const headerBytes = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes));
    return Object.entries(header).filter(([name]) => name !== "__metadata__").map(([name, {dtype, shape, data_offsets: [from, to]}]) =>
        ({name, dtype, shape, bytes: file.subarray(8 + headerBytes + from, 8 + headerBytes + to)}));
}

function writeSafetensors(file, tensors) {
    const header = {__metadata__: {format: "pt"}};
    let at = 0;
    for (const {name, dtype, shape, bytes} of tensors) header[name] = {dtype, shape, data_offsets: [at, at += bytes.length]};
    let text = Buffer.from(JSON.stringify(header));
    text = Buffer.concat([text, Buffer.alloc((8 - text.length % 8) % 8, " ")]);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    fs.writeFileSync(file, Buffer.concat([size, text, ...tensors.map(({bytes}) => bytes)]));
}

/** Replaces the weights of `directory` by `shards` files and an index, tensors dealt round-robin. */
export function writeShards(directory, tensors, shards) {
    fs.rmSync(path.join(directory, "model.safetensors"));
    const shardName = (i) => `model-${String(i + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
    const weightMap = Object.fromEntries(tensors.map(({name}, i) => [name, shardName(i % shards)]));
    for (let i = 0; i < shards; i++) {
        writeSafetensors(path.join(directory, shardName(i)), tensors.filter((_, t) => t % shards === i));
    }
    fs.writeFileSync(path.join(directory, "model.safetensors.index.json"), JSON.stringify({
        metadata: {total_size: tensors.reduce((sum, {bytes}) => sum + bytes.length, 0)}, weight_map: weightMap}));
}

/** Each matrix of the decoder layers gets a bias of F32 values in [-0.1, 0.1], always the same. */
export function withBiases(tensors) {
    let state = 1;
    const next = () => (state = (state * 48271) % 2147483647) / 2147483647;
    const biases = tensors.filter(({name}) => /layers\.\d+\..*_proj\.weight$/.test(name)).map(({name, shape: [rows]}) => {
        const values = Float32Array.from({length: rows}, () => 0.2 * next() - 0.1);
        return {name: name.replace(/weight$/, "bias"), dtype: "F32", shape: [rows], bytes: Buffer.from(values.buffer)};
    });
    return [...tensors, ...biases];
}

/** A copy of the checkpoint `source` as `directory` with other settings in config.json. */
export function copyCheckpoint(source, directory, settings) {
    fs.cpSync(source, directory, {recursive: true});
    const config = path.join(directory, "config.json");
    fs.writeFileSync(config, JSON.stringify({...JSON.parse(fs.readFileSync(config, "utf8")), ...settings}));
    return directory;
}
