#!/usr/bin/env bash
# `quality report`: the same report on any number of ranks, read back where contents are the same, and damaged or foreign
# models named by their typed error.
. "$(dirname "$0")/lib.sh"

sample=(--text "$text" --ctx 64 --chunks 9)
on 1 quantize "$model" gguf -q F16 -n f16 > /dev/null
on 1 quantize "$model" gguf -q Q4_K_M -n q4 > /dev/null
without_times() { grep -v 'timestamp\|duration_seconds\|cpu_seconds' "$1"; }
report() { local ranks=$1 file=$2; shift 2; on "$ranks" --format json quality report "$@" "${sample[@]}" > "$file"; }

# Ranks, the form of the original and threads change no figure. Nine chunks do not go round evenly.
for ranks in 1 2 3 4; do
  report $ranks np$ranks.json "$model" q4.gguf --include-layers -o np$ranks.html
  [ "$(without_times np1.json)" = "$(without_times np$ranks.json)" ] || fail "$ranks ranks give another report"
done
report 1 threads.json "$model" q4.gguf --include-layers --threads 2
[ "$(without_times np1.json)" = "$(without_times threads.json)" ] || fail "two threads give another report"
python3 - << 'PY' || fail "figures of the report"
import json, os
d = json.load(open("np1.json"))
m = d["metrics"]
assert m["scores"] == 279 and m["chunks"] == 9 and d["ctx"] == 64
assert 0 < m["kld_median"] < m["kld_mean"] < m["kld_p99"] < m["kld_p999"] <= m["kld_max"]
assert 90 < m["correlation_pct"] <= 100 and m["delta_p_p1_pct"] < m["delta_p_mean_pct"] < m["delta_p_rms_pct"]
assert len(d["layer_errors"]) == 8 and len(d["tensor_errors"]) == 39
weighted = {t["name"]: t["weighted_error"] for t in d["tensor_errors"]}
assert sum(w is not None for w in weighted.values()) == 28 and weighted["output.weight"] is None
assert all(0 < w < 0.02 for w in weighted.values() if w is not None)
assert sum(t["weights"] for t in d["tensor_errors"]) > 4e6
assert d["worst_sentences"] and d["worst_sentences"][0]["kld"] >= d["worst_sentences"][-1]["kld"]
text = open(os.environ["LLMQ_TEST_DATA"] + "/text/story.txt").read()
sentence = "".join(t["text"] for t in d["worst_sentences"][0]["tokens"])
assert sentence.strip() in text, sentence
mean = sum(p["kld"] * (p["end"] - p["begin"]) for p in d["kld_along_positions"]) / 31
assert abs(mean / m["kld_mean"] - 1) < 0.2
PY
# The pages: the same on any number of ranks but for the time, sound in a browser, with the figures of the JSON.
dateless() { sed 's#<dd>20[0-9T:Z-]*</dd>##' "$1"; }
[ "$(dateless np1.html)" = "$(dateless np3.html)" ] || fail "3 ranks give another page"
on 1 quantize "$model" gguf -q Q2_K -n q2 > /dev/null
on 2 quality compare "$model" q4.gguf q2.gguf "${sample[@]}" -o compare.html > /dev/null
for page in np1.html compare.html; do
  ! grep -q -e "$work" -e "$(hostname)" -e http "$page" || fail "a path, a host or an address is in $page"
  [ "$(stat -c %s "$page")" -lt 1000000 ] || fail "$page is large"
  check_looks "$page"
done
browser --dump-dom "file://$work/np1.html" > dom.html
for id in positions map-bits map-weighted map-mse; do grep -q "<svg id=\"$id\"" dom.html || fail "no drawing $id"; done
[ "$(grep -c '<title>blk\.' dom.html)" = 84 ] || fail "not three maps of 28 cells"
python3 - << 'PY' || fail "the page differs from the JSON"
import json
d, page = json.load(open("np1.json")), open("dom.html", encoding="utf-8").read()
for tensor in d["tensor_errors"]:
    if tensor["weighted_error"] is not None:
        assert f'<title>{tensor["name"]}: {tensor["weighted_error"]:.4g} part of' in page, tensor["name"]
assert f'{d["metrics"]["same_top_pct"]:.2f} ± ' in page
assert page.count('class="says"') == len(d["worst_sentences"])
PY
browser --dump-dom "file://$work/compare.html" > dom.html
[ "$(grep -o '<circle' dom.html | wc -l)" = 2 ] && grep -q '<svg id="tradeoff"' dom.html || fail "the chart of sizes"

report 1 gguf.json f16.gguf q4.gguf
grep -q '"original_model": "f16.gguf"' gguf.json || fail "a GGUF file as the original"
near() { python3 -c 'import json,sys; a,b=(json.load(open(f))["metrics"]["kld_mean"] for f in sys.argv[1:]); sys.exit(abs(a/b-1)>0.01)' "$@"; }
near gguf.json np1.json || fail "F16 as the original gives another divergence"
report 1 same.json "$model" f16.gguf
python3 -c 'import json,sys; sys.exit(json.load(open("same.json"))["metrics"]["kld_mean"] > 1e-6)' || fail "F16 diverges"

# Coherence: the score of quantize --coherence-check, on two ranks too, and kept in the report beside the file.
score() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["coherence_score"])' "$1"; }
grep -q '"coherence_score": null' np1.json || fail "a score nobody asked for"
report 2 coherent.json "$model" q4.gguf --coherence
on 1 --format json quantize "$model" gguf -q Q4_K_M -n q4 --force --quality-report --coherence-check > quantized.json
[ "$(score coherent.json)" = "$(score quantized.json)" ] && [ "$(score coherent.json)" = "$(score q4.qreport)" ] || fail "scores differ"

# Beside the file and of the same contents: read back, to the same figures; else computed again.
rm q4.qreport
reused() { grep -q 'Read from q4.qreport' log.txt; }
again() { "$LLMQ_BIN" --format json quality report "$model" "$@" > again.json 2> log.txt; }
on 1 quantize "$model" gguf -q Q4_K_M -n q4 --force --quality-report > /dev/null
again q4.gguf || fail "a report beside the file"
reused || { cat log.txt; fail "the report beside the file was not read back"; }
[ "$(without_times again.json | sed 's/"layer_errors".*//' | grep -c kld)" -gt 20 ] || fail "what was read back"
again q4.gguf --include-layers && reused || fail "with layers"
cmp -s <(grep -v quantized_model again.json) <(grep -v quantized_model q4.qreport) || fail "what is read back is not what was written"
mpirun -n 2 "$LLMQ_BIN" --format json quality report "$model" q4.gguf --include-layers > two.json 2> log.txt && reused || fail "two ranks read it"
cmp -s two.json again.json || fail "two ranks read something else"
again q4.gguf "${sample[@]}" && ! reused || fail "of another text, yet read back"
again q4.gguf --chunks 20 && ! reused || fail "of fewer chunks, yet read back"
cp q4.gguf keep.gguf
size=$(stat -c %s q4.gguf)
printf '\377' | dd of=q4.gguf bs=1 seek=$((size - 300)) conv=notrunc status=none
again q4.gguf && ! reused || fail "another file, yet read back"
mv keep.gguf q4.gguf
sed -i 's/"kld_mean": [0-9.e-]*/"kld_mean": "small"/' q4.qreport
again q4.gguf && ! reused || fail "a malformed report was read back"
grep -q 'q4.qreport is not used: .*/metrics/kld_mean: expected a number' log.txt || { cat log.txt; fail "the malformed report is not named"; }
rm q4.qreport

# A vocabulary of 150,000: logits exist for a few positions at a time and heads one a model, within the limit given, and
# the limit changes no figure.
mkdir wide && cp "$model"/tokenizer* wide/ && sed 's/"vocab_size": *[0-9]*/"vocab_size": 150000/' "$model/config.json" > wide/config.json
"$LLMQ_MAKE_MODEL" big wide 2 256 768
on 1 quantize big gguf -q Q4_K_M -n big > /dev/null
on 1 quantize big gguf -q Q8_0 -n big8 > /dev/null
peak() { python3 - "$LLMQ_BIN" --verbosity quiet --format json --threads 1 "$@" << 'PY'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=open("peak.json", "w"))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
PY
}
free=$(peak quality compare big big.gguf big8.gguf "${sample[@]}") && mv peak.json free.json
bound=$(peak --mem-per-rank 900MB quality compare big big.gguf big8.gguf "${sample[@]}")
[ "$(without_times free.json)" = "$(without_times peak.json)" ] || fail "a memory limit changes figures"
[ "$LLMQ_SLOW" = 1 ] || [ "$bound" -le 900000000 ] || fail "$bound bytes with a limit of 900 MB"
echo "vocabulary of 150,000: $((free / 1000000)) MB, $((bound / 1000000)) MB with a limit of 900 MB"
rm -r big big.gguf big8.gguf wide

# patch FILE WHAT: a copy of q4.gguf with one thing wrong.
patch() { python3 - "$1" "$2" << 'PY'
import struct, sys
data = bytearray(open("q4.gguf", "rb").read())
at = 8 + 4 - 4
version, tensors, keys = struct.unpack_from("<IQQ", data, 4)
at = 24
sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
def text():
    global at
    n, = struct.unpack_from("<Q", data, at); at += 8 + n
    return data[at - n:at].decode("utf-8", "replace"), at - n
def skip(kind):
    global at
    if kind == 8: return text()
    if kind == 9:
        inner, n = struct.unpack_from("<IQ", data, at); at += 12
        return [skip(inner) for _ in range(n)]
    at += sizes[kind]
places = {}
for _ in range(keys):
    name, _p = text()
    kind, = struct.unpack_from("<I", data, at); at += 4
    places[name] = skip(kind)
info = {}
for _ in range(tensors):
    name, _p = text()
    dims, = struct.unpack_from("<I", data, at); at += 4
    at += 8 * dims
    info[name] = (at, struct.unpack_from("<Q", data, at + 4)[0]); at += 12
start = (at + 31) // 32 * 32
what = sys.argv[2]
if what == "type": struct.pack_into("<I", data, info["blk.1.attn_q.weight"][0], 4)
elif what == "token":
    word, place = places["tokenizer.ggml.tokens"][300]
    data[place] ^= 1
else:  # a NaN in the first F32 value or the first half-precision scale of a tensor
    where = start + info[what][1]
    if what.endswith("norm.weight"): struct.pack_into("<f", data, where, float("nan"))
    else: struct.pack_into("<H", data, where, 0x7E00)
open(sys.argv[1], "wb").write(data)
PY
}
patch nan_layer.gguf blk.2.attn_k.weight
expect 16 quality report "$model" nan_layer.gguf "${sample[@]}"
grep -q 'nan_layer.gguf: NaN or Inf in the states of layer 2' err.txt || { cat err.txt; fail "the damaged layer is not named"; }
expect 16 quality compare "$model" q4.gguf nan_layer.gguf "${sample[@]}"
grep -q 'nan_layer.gguf: NaN or Inf in the states of layer 2' err.txt || { cat err.txt; fail "the damaged file is not named"; }
patch nan_head.gguf output_norm.weight
expect 16 quality report "$model" nan_head.gguf "${sample[@]}"
grep -q 'nan_head.gguf: NaN or Inf in the logits' err.txt || { cat err.txt; fail "damaged logits are not named"; }
expect 16 quality report nan_layer.gguf q4.gguf "${sample[@]}"
grep -q 'the original: NaN or Inf in the states of layer 2' err.txt || { cat err.txt; fail "a damaged original is not named"; }
patch type.gguf type
expect 8 quality report "$model" type.gguf "${sample[@]}"
patch token.gguf token
expect 6 quality report "$model" token.gguf "${sample[@]}"
grep -q 'other vocabularies: token 300' err.txt || { cat err.txt; fail "the other token is not named"; }
head -c $((size / 2)) q4.gguf > cut.gguf
expect 6 quality report "$model" cut.gguf "${sample[@]}"
expect 6 quality report "$LLMQ_TEST_DATA/stories260k" q4.gguf "${sample[@]}"
expect 6 quality compare "$LLMQ_TEST_DATA/stories260k" q4.gguf "${sample[@]}"
echo short > short.txt
expect 15 quality report "$model" q4.gguf --text short.txt
expect 15 quality report "$model" q4.gguf --text nowhere.txt
expect 2 quality report "$model" q4.gguf "${sample[@]}" -o report.pdf
! ls ./*.qreport ./*.partial > /dev/null 2>&1 || fail "something was left behind"
echo "reports hold; $conditions conditions have their code"
