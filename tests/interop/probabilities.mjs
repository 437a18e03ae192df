// What stock llama.cpp says of a text, and how far two such answers are apart.
/** Probabilities of every scored position by stock llama.cpp: softmax rows indexed by token id, f64. `lora`: path of an adapter. */
export async function evaluate(llama, file, chunks, lora) {
    const model = await llama.loadModel({modelPath: file});
    const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
    const rows = [];
    for (const chunk of chunks) {
        const context = await model.createContext({contextSize: chunk.length, batchSize: chunk.length, sequences: 1, threads: 1,
            flashAttention: false, lora, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"});
        const sequence = context.getSequence();
        const first = chunk.length >> 1;
        const input = chunk.map((token, j) => j >= first && j < chunk.length - 1
            ? [token, {generateNext: {probabilities: true}}] : token);
        const output = await sequence.controlledEvaluate(input);
        for (let j = first; j < chunk.length - 1; j++) {
            const row = new Float64Array(vocabulary);
            for (const [token, p] of output[j].next.probabilities) row[token] = p;
            rows.push({row, next: chunk[j + 1]});
        }
        await context.dispose();
    }
    await model.dispose();
    return rows;
}

/** Of the next tokens of evaluated rows. */
export const perplexity = (rows) => Math.exp(rows.reduce((sum, {row, next}) => sum - Math.log(row[next]), 0) / rows.length);
/** Mean KL divergence of rows of probabilities, in nats. */
export const divergence = (base, other) => base.reduce((sum, {row}, i) => {
    let kld = 0;
    for (let k = 0; k < row.length; k++) {
        if (row[k] > 0) kld += row[k] * Math.log(row[k] / Math.max(other[i].row[k], 1e-45));
    }
    return sum + kld;
}, 0) / base.length;
