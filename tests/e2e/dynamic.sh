#!/usr/bin/env bash
# Level dynamic: the same bytes on any number of ranks and after interruptions, sizes to the byte, what is kept and used again, pins,
# presets, predictions against measurements, and everything that is refused.
. "$(dirname "$0")/lib.sh"
export LLM_QUANTIZE_IMATRIX_CACHE=$work/cache LLM_QUANTIZE_PROFILE_DIR=$work/profiles

# of FILE PATH...: a value of a JSON document.
of() {
  python3 - "$@" << 'PY'
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    value = value[int(key) if key.lstrip("-").isdigit() else key]
print(value)
PY
}
on 1 analyze "$model" --calibration-samples 32 -o pebble.imatrix > /dev/null
# Single changes are measured on two samples: on as much as a user's run takes, each table would take ten times as long.
short=(--calibration-data "$text")
dynamic=(quantize "$model" gguf -q dynamic --imatrix pebble.imatrix "${short[@]}")

# stopped_in FILE ARGS...: SIGUSR1 as soon as results of that journal are kept: code 75, no output.
stopped_in() {
  local journal=$1 code=0; shift
  "$LLMQ_BIN" --threads 1 "$@" > /dev/null 2> log.txt &
  launcher=$!
  wait_for ".checkpoint/*/$journal.*"
  for _ in $(seq 3000); do [ -n "$(find .checkpoint -size +0 -name "$journal.*")" ] && break; sleep 0.01; done
  kill -USR1 $launcher
  wait $launcher || code=$?
  [ $code = 75 ] || { cat log.txt; fail "stopped in the $journal: $code"; }
}

# --- the same file and table on any number of ranks: undisturbed, with a damaged table, stopped twice, and killed
size=(--target-size 1800000B)
on 1 --threads 2 --format json "${dynamic[@]}" "${size[@]}" -n np1 > np1.json
cp pebble.atlas np1.atlas
head -c 3000 np1.atlas > pebble.atlas
mpirun -n 2 "$LLMQ_BIN" --threads 1 "${dynamic[@]}" "${size[@]}" -n np2 > /dev/null 2> log.txt
grep -q 'the error table is made anew' log.txt || { cat log.txt; fail "damage unsaid"; }
same np1.gguf np2.gguf; same np1.atlas pebble.atlas; rm pebble.atlas
stopped_in errors "${dynamic[@]}" "${size[@]}" -n np3
stopped_in probes "${dynamic[@]}" "${size[@]}" -n np3 --resume .checkpoint
[ ! -e np3.gguf ] || fail "a file of an unfinished run"
on 3 --threads 1 "${dynamic[@]}" "${size[@]}" -n np3 --resume .checkpoint > /dev/null
same np1.gguf np3.gguf; same np1.atlas pebble.atlas; rm pebble.atlas
start_run 2 "${dynamic[@]}" "${size[@]}" -n np4
wait_for '.checkpoint/*/probes.*'
kill -KILL "$(ranks_of "$launcher" | head -1)"; wait "$launcher" || true
on 4 --threads 2 "${dynamic[@]}" "${size[@]}" -n np4 --resume .checkpoint > /dev/null
same np1.gguf np4.gguf; same np1.atlas pebble.atlas
[ ! -e .checkpoint ] || fail "checkpoints of finished runs: $(find .checkpoint)"

# --- used again; a dry run says the size to the byte and writes nothing
on 2 --format json "${dynamic[@]}" "${size[@]}" -n again > again.json
same np1.gguf again.gguf
[ "$(of again.json dynamic error_table reused) $(of again.json dynamic single_changes reused)" = "True True" ] || fail "not used again"
bytes=$(stat -c %s np1.gguf)
if [ "$bytes" -gt 1800000 ] || [ "$bytes" -lt 1798200 ]; then fail "$bytes bytes for 1,800,000"; fi
before=$(outputs)
rm pebble.atlas
on 1 --format json "${dynamic[@]}" "${size[@]}" --dry-run > plan.json
[ "$(of plan.json file_size)" = "$bytes" ] || fail "the plan has another size than the file"
[ "$(outputs)" = "$before" ] && [ ! -e pebble.atlas ] || fail "a dry run wrote something"
cp np1.atlas pebble.atlas
python3 - << 'PY' || fail "predicted to be worse than a level"
import json
for name in ("np1", "plan"):
    prediction = json.load(open(name + ".json"))["prediction"]
    assert prediction["bound"] <= prediction["kld"] <= prediction["stock_kld"], prediction
PY

# --- without a matrix: made once, cached; a fixed level never does
few_samples=(--calibration-samples 12 "${short[@]}")
on 1 --format json quantize "$model" gguf --dynamic --target-bpw 3 "${few_samples[@]}" -n first > first.json
on 2 --format json quantize "$model" gguf --dynamic --target-bpw 3 "${few_samples[@]}" -n second > second.json
same first.gguf second.gguf
[ "$(of first.json dynamic imatrix reused) $(of second.json dynamic imatrix reused)" = "False True" ] || fail "the cache was not used"
awk -v bpw="$(of first.json effective_bpw)" 'BEGIN { exit !(bpw <= 3 && bpw > 2.99) }' || fail "not 3 bits a weight"
cached=$(find cache -type f | wc -l)
on 1 quantize "$model" gguf -q Q4_0 -n fixed "${few_samples[@]}" > /dev/null
[ "$(find cache -type f | wc -l)" = "$cached" ] || fail "a fixed level analyzed"

# --- pins, presets, profiles of one's own
on 1 --format json "${dynamic[@]}" --target-bpw 3.2 --tensor-type 'blk\.1\.attn_v=Q8_0' --output-tensor-type Q6_K -n pinned > pinned.json
python3 - << 'PY' || fail "pins do not hold"
import json
types = {t["name"]: t["type"] for t in json.load(open("pinned.json"))["tensors"]}
assert types["blk.1.attn_v.weight"] == "Q8_0" and types["output.weight"] == "Q6_K", types
PY
on 1 --format json "${dynamic[@]}" --profile attention-high -n high > high.json
python3 - << 'PY' || fail "attention-high is above its limits"
import json
tensors = json.load(open("high.json"))["tensors"]
def bits(part):
    some = [t for t in tensors if part in t["name"] and "norm" not in t["name"]]
    return 8 * sum(t["bytes"] for t in some) / sum(t["elements"] for t in some)
assert 4 < bits("attn_") <= 4.5 and 2.3 < bits("ffn_") <= 2.625, (bits("attn_"), bits("ffn_"))
PY
on 1 --format json "${dynamic[@]}" --profile compression-max -n small > small.json
grep -q '<- the smallest within 20 %' small.json || { cat small.json; fail "compression-max does not say how it decided"; }
on 1 profile create --imatrix pebble.imatrix --name mine --target-bpw 2.8 > /dev/null
mkdir profiles && mv mine.dqprofile profiles/
on 1 --format json "${dynamic[@]}" --profile mine -n mine > mine.json
awk -v bpw="$(of mine.json effective_bpw)" 'BEGIN { exit !(bpw <= 2.8 && bpw > 2.7) }' || fail "a profile's target"
[ "$(of mine.json profile)" = mine ] || fail "not my profile"

# --- protected weights
copy_model planted
"$LLMQ_PLANT_MODEL" planted pair 1 77 384 444 60 1.5
on 1 analyze planted --identify-super-weights --calibration-samples 32 -o planted.imatrix > /dev/null
protect=(quantize planted gguf -q dynamic --target-bpw 2.9 --imatrix planted.imatrix "${short[@]}" --protect-super-weights --protection-coverage 0.000002)
on 1 --format json "${protect[@]}" --quality-report -n held > held.json
on 2 "${protect[@]}" -n held2 > /dev/null
same held.gguf held2.gguf
[ -s held.qreport ] || fail "no report beside the file"
python3 - << 'PY' || fail "protection"
import json
result = json.load(open("held.json"))
protection = result["super_weight_protection"]
assert protection["protected"] >= 4 and 0 < protection["largest_relative_error"] <= 2 ** -11, protection
assert {l["layer_name"]: l["is_protected"] for l in result["layer_summary"]}["model.layers.1"], result["layer_summary"]
assert result["quality_report"]["perplexity_quantized"] > 0 and result["effective_bpw"] <= 2.9
PY
printf '%s\n' '{"profile_id": "guard", "profile_name": "g", "description": "", "strategy": "custom", "target_bpw": 3,' \
  '"layer_assignments": [{"layer_name": "model.layers.1", "bit_width": 4, "is_protected": true}]}' > guard.dqprofile
on 1 --format json quantize planted gguf -q dynamic --profile guard.dqprofile --imatrix planted.imatrix "${short[@]}" -n guarded > guarded.json
[ "$(of guarded.json super_weight_protection protected)" -gt 0 ] || fail "is_protected protects nothing"

# --- a file that lost too much is kept, with code 11 and what to do
code=0
LLM_QUANTIZE_QUALITY_THRESHOLD=1 on 2 --format json quantize "$model" gguf -q IQ1_S --imatrix pebble.imatrix --quality-report -n poor \
  > poor.json || code=$?
[ $code = 11 ] && [ -s poor.gguf ] && [ -s poor.qreport ] || { cat poor.json; fail "a poor file gave $code"; }
[ "$(of poor.json error_code) $(of poor.json status)" = "11 error" ] || fail "the result does not say that it failed"
grep -Eq 'Quantization quality degradation \([0-9]+%\) exceeds threshold \(1%\)' poor.json || fail "not said what exceeds what"
grep -q 'Try using --protect-super-weights or a less aggressive profile' poor.json || fail "not said what to do"
LLM_QUANTIZE_QUALITY_THRESHOLD=1000 on 1 quantize "$model" gguf -q IQ1_S --imatrix pebble.imatrix --quality-report -n poor --force > /dev/null

# --- rows that no K type divides, and a table that cannot be kept
on 1 analyze "$LLMQ_TEST_DATA/stories260k" "${few_samples[@]}" -o short.imatrix > /dev/null
mkdir short.atlas
on 1 --format json quantize "$LLMQ_TEST_DATA/stories260k" gguf --dynamic --imatrix short.imatrix "${short[@]}" -n short > short.json
grep -q 'balanced asks for fewer bits than the row lengths' short.json || fail "no warning"
grep -q 'not kept for later runs' short.json || fail "not said that the table is not kept"
"$LLMQ_BIN" info short.gguf > /dev/null

# --- predictions against measurements, of mixes drawn by lot
mixes=$([ "${LLMQ_ALL:-0}" = 1 ] && echo 30 || echo 12)
python3 - "$mixes" "$LLMQ_BIN" "$model" "${short[@]}" << 'PY' || fail "predictions do not rank mixes as measurements do"
import json, random, subprocess, sys
count, tool, model = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lot = random.Random(7)
names = [t["name"] for t in json.load(open("np1.json"))["tensors"] if t["type"] != "F32"]
types = ["IQ1_M", "IQ2_XXS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K"]
def run(*words):
    return json.loads(subprocess.run([tool, "--format", "json", "--verbosity", "quiet", *words], check=True, capture_output=True).stdout)
predicted, files = [], []
for i in range(count):
    low = lot.randrange(len(types) - 3)   # mixes of different mean size
    pins = []
    for name in names:
        pins += ["--tensor-type", "^%s$=%s" % (name.replace(".", "\\."), lot.choice(types[low:low + 4]))]
    same = ["quantize", model, "gguf", "-q", "dynamic", "--target-bpw", "16", "--imatrix", "pebble.imatrix", *sys.argv[4:], *pins]
    predicted.append(run(*same, "--dry-run")["prediction"]["kld"])
    files.append(run(*same, "-n", "mix%d" % i, "--no-checkpoints")["output_path"])
measured = [c["metrics"]["kld_mean"] if "metrics" in c else c["kld_mean"]
            for c in run("quality", "compare", model, *files, "--chunks", "20", "--ctx", "256")["candidates"]]
def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    return [order.index(i) for i in range(len(values))]
a, b = ranks(predicted), ranks(measured)
spearman = 1 - 6 * sum((x - y) ** 2 for x, y in zip(a, b)) / (count * (count ** 2 - 1))
print("rank correlation of %d mixes: %.4f" % (count, spearman))
assert spearman >= 0.9
PY

# Of two targets the tighter one counts, whatever the head has to say of it: a file that is one byte too large is
# refused. How far the head's padding reaches depends on the length of the profile's name.
ids="a abcdefghijklmnop"
[ -z "${LLMQ_ALL:-}" ] || ids+=" abcdef abcdefghijk abcdefghijklmnopqrstu abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz01234"
for id in $ids; do
  profile() { printf '{"profile_id": "%s", "profile_name": "x", "strategy": "custom", "layer_assignments": [], %s}\n' "$id" "$1" > two.dqprofile; }
  pinned=("${dynamic[@]}" --profile two.dqprofile --tensor-type .=Q4_K -n two --dry-run)
  profile '"target_compression": 0.9'
  on 1 --format json "${pinned[@]}" > two.json
  bytes=$(of two.json file_size)
  for less in 0 1; do
    profile "\"target_bpw\": 4.6, \"target_compression\": $(awk "BEGIN { printf \"%.12f\", ($bytes - $less + 0.5) / 8393216 }")"
    code=0; on 1 "${pinned[@]}" > /dev/null 2> err.txt || code=$?
    [ $code = $((13 * less)) ] || { cat err.txt; fail "$id: $code for $less bytes less than $bytes"; }
  done
done

# --- refused, with nothing written
expect 13 "${dynamic[@]}" --target-size 100KB -n x
grep -q 'cannot be reached: with the smallest types allowed the file has' err.txt || fail "not said what is possible"
expect 13 "${dynamic[@]}" --target-bpw 1.6 --tensor-type 'ffn_down=Q8_0' -n x
grep -q 'pinned: .*blk.0.ffn_down.weight as Q8_0 +' err.txt || { cat err.txt; fail "not said what pins cost"; }
expect 13 "${dynamic[@]}" --profile nowhere -n x
sed 's/"bit_width": 4/"bit_width": 99/' guard.dqprofile > bad.dqprofile
expect 13 "${dynamic[@]}" --profile bad.dqprofile -n x
grep -q '/layer_assignments/0/bit_width' err.txt || fail "no pointer"
sed 's/layers.1"/layers.7"/' guard.dqprofile > other.dqprofile
expect 13 "${dynamic[@]}" --profile other.dqprofile -n x
grep -q '/layer_assignments/0/layer_name' err.txt || fail "no pointer"
expect 2 "${dynamic[@]}" --target-bpw 1.2 -n x
expect 2 "${dynamic[@]}" --target-bpw 3 --target-size 0.2 -n x
expect 2 "${dynamic[@]}" --target-size 12 -n x
expect 2 "${dynamic[@]}" --atlas-rows 0 -n x
expect 2 "${dynamic[@]}" --pure -n x
expect 2 "${dynamic[@]}" --atlas-rows x -n x
expect 2 quantize "$model" gguf -q Q4_K_M --target-bpw 3 -n x
expect 2 quantize "$model" gguf -q Q4_K_M --atlas-rows 64 -n x
cp pebble.imatrix x.qreport   # the report must not take the place of an input
expect 2 quantize "$model" gguf -q dynamic --target-bpw 3 --imatrix x.qreport --quality-report --force -n x
expect 2 "${dynamic[@]}" --target-bpw 3 --quality-report -n x
rm x.qreport
expect 2 quantize "$model" gguf -q Q4_K_M --dynamic -n x
expect 2 quantize "$model" gguf -q Q4_K_M --profile balanced -n x
expect 7 "${dynamic[@]}" --target-bpw 3 --resume nowhere -n x
expect 10 quantize "$model" gguf -q dynamic --imatrix held.qreport -n x

echo "$conditions conditions"
