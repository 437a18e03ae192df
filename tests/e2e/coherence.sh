#!/usr/bin/env bash
# `quantize --coherence-check`: fewer bits score lower, a broken file is told and kept (exit code 12), and neither ranks,
# threads nor memory change a digit.
. "$(dirname "$0")/lib.sh"

# check RANKS FILE LEVEL ARGS...: the JSON result of a checked file
check() {
  local ranks=$1 file=$2 level=$3; shift 3
  on "$ranks" --format json quantize "$model" gguf -q "$level" --coherence-check --force -n "$level" "$@" > "$file"
}
# field FILE KEY...: one value of a result
field() {
  python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]: value = value[key]
print(value)' "$@"
}
coherence() { python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))["coherence"]
del value["duration_seconds"]
print(json.dumps(value))' "$1"; }
same_coherence() { [ "$(coherence "$1")" = "$(coherence "$2")" ] || fail "$1 and $2 differ"; }

# --- levels in their order
on 1 analyze "$model" --calibration-samples 32 -o pebble.imatrix > /dev/null
for level in F16 Q8_0 Q4_K_M Q2_K IQ1_S; do
  LLM_QUANTIZE_COHERENCE_THRESHOLD=0 check 1 $level.json $level --imatrix pebble.imatrix
done
python3 - << 'PY' || fail "scores"
import json
results = {level: json.load(open(level + ".json")) for level in "F16 Q8_0 Q4_K_M Q2_K IQ1_S".split()}
scores = [result["coherence_score"] for result in results.values()]
print(dict(zip(results, scores)))
assert scores[0] > 0.99 and scores[0] >= scores[1], scores
assert all(better > worse for better, worse in zip(scores[1:], scores[2:])), scores
wanted = {"score", "likelihood", "repetition", "agreement", "mean_log_p_quantized", "mean_log_p_original", "prompts", "tokens",
          "tokens_per_continuation", "distinct_4grams_quantized", "distinct_4grams_original", "examples", "duration_seconds"}
for result in results.values():
    assert result["status"] == "success"
    coherence = result["coherence"]
    assert set(coherence) == wanted, set(coherence) ^ wanted
    assert coherence["score"] == result["coherence_score"] == coherence["likelihood"] * coherence["repetition"]
    assert (coherence["prompts"], coherence["tokens_per_continuation"], coherence["tokens"]) == (16, 64, 2048)
    assert [example["mode"] for example in coherence["examples"]] == ["greedy", "sampled"] * 2
    assert all(example["prompt"] and example["original"] and example["quantized"] for example in coherence["examples"])
PY

# --- ranks, threads, memory and the way a file is assembled
check 2 two.json Q4_K_M --imatrix pebble.imatrix
same_coherence Q4_K_M.json two.json
check 3 three.json Q4_K_M --imatrix pebble.imatrix --threads 2
same_coherence Q4_K_M.json three.json
check 2 gathered.json Q4_K_M --imatrix pebble.imatrix --assemble gather
same_coherence Q4_K_M.json gathered.json
# 268.4 MB are the program's. Of pebble's layers none stays in memory then.
"$LLMQ_BIN" --format json --threads 1 --mem-per-rank 282MB quantize "$model" gguf -q Q4_K_M --imatrix pebble.imatrix \
  --coherence-check --force -n tight > tight.json 2> tight.log
grep -q 'Note: memory holds 0 of 4 layers of tight.gguf' <(sed 's|\./||' tight.log) || { cat tight.log; fail "nothing said of layers read again"; }
same_coherence Q4_K_M.json tight.json

# --- a file that writes nonsense is kept, with code 12 and what to do
broken=(quantize "$model" gguf -q F16 --override-kv llama.attention.layer_norm_rms_epsilon=float:1)
code=0; on 2 "${broken[@]}" --coherence-check -n broken > out.txt 2> err.txt || code=$?
[ $code = 12 ] && [ -s broken.gguf ] || { cat err.txt; fail "a broken file gave $code"; }
grep -Eq 'CoherenceCheckFailed\): Model output coherence check failed \(score: 0\.[01][0-9]\); the file is kept: .*broken.gguf' err.txt ||
  { cat err.txt; fail "not said that the check failed"; }
grep -q 'Ultra-low-bit quantization may be too aggressive. Consider Q2_K or dynamic quantization' err.txt || fail "not said what to do"
grep -q '^  coherence  *0\.[01]' out.txt && grep -q '^  quantized: ' out.txt || { cat out.txt; fail "no score or texts in the table"; }
code=0; on 1 --format json "${broken[@]}" --coherence-check --force -n broken > broken.json 2> err.txt || code=$?
[ $code = 12 ] && [ ! -s err.txt ] || fail "a broken file gave $code in JSON form"
[ "$(field broken.json status) $(field broken.json error_code) $(field broken.json error_type)" = "error 12 CoherenceCheckFailed" ] ||
  fail "the result does not say that it failed"
grep -Eq '^Model output coherence check failed \(score: 0\.[0-9]{2}\)$' <(field broken.json message) || fail "another message"
python3 -c 'import json; assert json.load(open("broken.json"))["coherence_score"] < 0.2' || fail "score of a broken file"

# --- both judges: code 11, and both are heard
code=0; on 1 --format json "${broken[@]}" --coherence-check --quality-report --force -n broken > both.json || code=$?
[ $code = 11 ] && [ "$(field both.json error_type)" = QualityDegradationError ] || fail "two failures gave $code"
grep -Eq '^Quantization quality degradation \([0-9]+%\) exceeds threshold \(20%\); Model output coherence check failed \(score: 0\.[0-9]{2}\)$' \
  <(field both.json message) || { field both.json message; fail "not both are said"; }

# --- refused before work starts: nothing is left behind
LLM_QUANTIZE_COHERENCE_THRESHOLD=1.5 expect 2 quantize "$model" gguf -q Q8_0 --coherence-check -n refused
code=0; LLM_QUANTIZE_COHERENCE_THRESHOLD=half on 1 quantize "$model" gguf -q Q8_0 --coherence-check -n refused 2> err.txt || code=$?
[ $code = 2 ] && grep -q '"half" is not a score between 0 and 1' err.txt || fail "a threshold that is no number gave $code"
code=0; on 1 --mem-per-rank 200MB quantize "$model" gguf -q Q8_0 --coherence-check -n refused 2> err.txt || code=$?
[ $code = 5 ] && grep -q 'the coherence plan needs' err.txt || fail "too little memory gave $code"
[ ! -e refused.gguf ] || fail "a refused run wrote a file"
# A dry run writes nothing, so that nothing is checked.
on 1 --format json quantize "$model" gguf -q Q8_0 --coherence-check --dry-run > planned.json
! grep -q coherence_score planned.json || fail "a dry run has a score"
echo "coherence holds"
