// Results as a table.

const compared = (results) => results.filter(({ours, theirs}) => !ours.note && !theirs.note);

export function summarize(results) {
    const ratios = compared(results).map(({ours, theirs}) => ours.kld / theirs.kld);
    const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
    return ratios.length > 0 ? {compared: ratios.length, kldRatio: mean, worst: Math.max(...ratios)} : {compared: 0};
}

const half = ({kld, kldError}) => kld === undefined ? "-".padStart(21) : `${kld.toFixed(6)} +/- ${kldError.toFixed(6)}`.padStart(21);

function line({level, ours, theirs}) {
    const ratio = ours.note || theirs.note ? "-" : (ours.kld / theirs.kld).toFixed(4);
    const notes = [ours.note && `ours: ${ours.note}`, theirs.note && `stock: ${theirs.note}`].filter(Boolean).join("; ");
    const shown = notes.length > 60 ? notes.slice(0, 57) + "..." : notes;
    return [level.padEnd(8), String(ours.bytes ?? "-").padStart(11), String(theirs.bytes ?? "-").padStart(11), half(ours), half(theirs),
        ratio.padStart(7), shown].join(" ").trimEnd();
}

export function table({model, ctx, chunks, levels, summary}) {
    const head = ["level".padEnd(8), "bytes".padStart(11), "stock".padStart(11), "KL divergence".padStart(21), "stock".padStart(21),
        "ratio".padStart(7)].join(" ");
    const last = summary.compared === 0 ? "nothing to compare"
        : `geometric mean of ${summary.compared} ratios ${summary.kldRatio.toFixed(4)}, highest ${summary.worst.toFixed(4)}`;
    return [`${model}, ${chunks} chunks of ${ctx} tokens`, head, ...levels.map(line), last, ""].join("\n");
}
