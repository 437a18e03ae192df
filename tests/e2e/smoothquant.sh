#!/usr/bin/env bash
# W8A8 directories as a user makes them: the same bytes on any number of ranks and after every kind of end, judged in
# int8, refused with the contract's codes and words, and nothing half-written anywhere.
. "$(dirname "$0")/lib.sh"
export LLM_QUANTIZE_IMATRIX_CACHE=$work/cache
directory_sha() { (cd "$1" && for file in *; do sha256sum "$file"; done | sha256sum | cut -d' ' -f1); }
same_directory() { [ "$(directory_sha "$1")" = "$(directory_sha "$2")" ] || fail "$1 and $2 differ"; }
field() { sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -n 1; }
outputs() { find . -maxdepth 1 \( -name '*w8a8*' -o -name 'out2*' -o -name '*.partial' -o -name '*.imatrix*' -o -name '*.qreport' \) | sort; }

on 1 analyze "$model" "${few[@]}" -o pebble.imatrix > /dev/null

# The same bytes, whoever makes them.
on 1 quantize "$model" smoothquant --imatrix pebble.imatrix > human.txt
first=pebble-smoothquant-w8a8
for name in config.json generation_config.json model.safetensors tokenizer.json tokenizer.model tokenizer_config.json; do
  [ -s "$first/$name" ] || fail "$name is missing"
done
for name in tokenizer.json tokenizer.model tokenizer_config.json; do same "$first/$name" "$model/$name"; done
grep -q '^  attn_norm -> attn_q, attn_k, attn_v *4 of 4' human.txt || { cat human.txt; fail "no table of mappings"; }
awk 'length > 100 { exit 1 }' human.txt || fail "wider than 100 columns"
for ranks in 2 3 4; do
  on $ranks --threads $((ranks % 2 + 1)) quantize "$model" smoothquant --imatrix pebble.imatrix -n np$ranks > /dev/null
  same_directory $first np$ranks
done
on 3 quantize "$model" smoothquant --imatrix pebble.imatrix -n gathered --assemble gather > /dev/null
same_directory $first gathered
on 1 quantize "$model" smoothquant --activation-scales static --imatrix pebble.imatrix -n static > /dev/null
on 3 quantize "$model" smoothquant --activation-scales static --imatrix pebble.imatrix -n static3 > /dev/null
same_directory static static3
# By trial, with the ranges measured by the run itself: by three ranks, then taken from the cache.
samples=(--calibration-data "$text" --calibration-samples 12)
on 3 --format json quantize "$model" smoothquant --alpha auto "${samples[@]}" -n auto3 > auto3.json
on 1 --format json quantize "$model" smoothquant --alpha auto "${samples[@]}" -n auto > auto.json
same_directory auto3 auto
[ "$(field auto3.json reused),$(field auto.json reused)" = false,true ] || fail "the ranges were not taken from the cache"
[ "$(grep -c '"error_is": "measured"' auto.json)" = 16 ] || fail "errors by trial are not measured"

# What it is for: an int8 model that is the same model.
on 2 --format json quality report "$model" $first > report.json
awk -v kld="$(field report.json kld_mean)" 'BEGIN { exit !(kld > 0.00005 && kld < 0.002) }' || fail "KL divergence $(field report.json kld_mean)"
on 1 --format json quantize "$model" smoothquant --imatrix pebble.imatrix -n judged --quality-report --coherence-check > judged.json
[ -s judged.qreport ] || fail "no report beside the directory"
awk -v score="$(field judged.json coherence_score)" 'BEGIN { exit !(score > 0.9) }' || fail "coherence $(field judged.json coherence_score)"
[ "$(field report.json kld_mean)" = "$(field judged.json kld_mean)" ] || fail "two reports of one model differ"

# Layers left as they are: as a set, named in the configuration, and read back.
on 1 --format json quantize "$model" smoothquant --imatrix pebble.imatrix -n kept --tensor-type 'blk\.2\.(ffn_down|attn_v)=BF16' > kept.json
grep -q '2 weights keep their numbers, too, .*blk.2.attn_q.weight, blk.2.attn_k.weight' kept.json || fail "a set was taken apart"
for module in self_attn.q_proj self_attn.k_proj self_attn.v_proj mlp.down_proj; do
  grep -q "\"model.layers.2.$module\"" kept/config.json || fail "$module is not in the list of what is ignored"
done
on 1 --format json quality report "$model" kept > kept.report.json
awk -v kept="$(field kept.report.json kld_mean)" -v all="$(field report.json kld_mean)" 'BEGIN { exit !(kept < all) }' || fail "keeping layers gains nothing"

# Other architectures: norms stored less one or with a bias, none to fold into, biases that forbid folding, heads normed.
for class in Gemma3 Olmo2 Phi3 Qwen2 Qwen3 StableLm SmolLM3; do
  "$LLMQ_MAKE_MODEL" other "$model" 2 256 512 ${class}ForCausalLM
  on 2 --format json quantize other smoothquant "${samples[@]}" -n other-w8a8 > other.json
  on 1 --format json quality report other other-w8a8 --chunks 4 --ctx 128 > other.report.json
  awk -v kld="$(field other.report.json kld_mean)" 'BEGIN { exit !(kld > 1e-6 && kld < 1e-3) }' || fail "$class: KL divergence $(field other.report.json kld_mean)"
  [ $class != Qwen2 ] || [ "$(grep -A 1 'attn_v -> attn_output"' other.json | grep -c '"folded": false')" = 2 ] || fail "values with a bias were folded"
  rm -r other other-w8a8
done

# A dry run tells the size to the byte and writes nothing.
before=$(outputs)
on 1 --format json quantize "$model" smoothquant --dry-run -n planned > plan.json
[ "$(outputs)" = "$before" ] || fail "a dry run wrote something"
[ "$(field plan.json file_size)" = "$(cat $first/* | wc -c)" ] || fail "planned $(field plan.json file_size), written $(cat $first/* | wc -c)"

# Stopped and killed in the middle, gone on with on other ranks.
make_large_model large
on 2 analyze large "${few[@]}" -o large.imatrix > /dev/null
on 2 quantize large smoothquant --imatrix large.imatrix -n reference > /dev/null
hit=0
for how in USR1:2:1 KILL:2:3 KILL:0:4 KILL:3:1; do
  IFS=: read -r signal ranks again <<< "$how"
  rm -rf out out.partial cp
  start_run "$ranks" quantize large smoothquant --imatrix large.imatrix -n out --checkpoint-dir cp
  for _ in $(seq 6000); do
    [ "$(cat cp/*/journal.* 2> /dev/null | wc -c)" -ge $((4 * 24)) ] && break
    kill -0 "$launcher" 2> /dev/null || break
    sleep 0.002
  done
  if [ "$signal$ranks" = KILL2 ]; then kill -KILL "$(ranks_of "$launcher" | tail -n 1)" 2> /dev/null || true
  else kill "-$signal" "$launcher" 2> /dev/null || true; fi
  code=0; wait "$launcher" || code=$?
  for _ in $(seq 500); do pgrep -f "llm-quantize.*-n out" > /dev/null || break; sleep 0.02; done
  if [ -d out ]; then same_directory out reference; continue; fi
  [ -d out.partial ] && [ -d cp ] || fail "$how left nothing to go on with"
  [ "$signal" != USR1 ] || [ $code = 75 ] || fail "$how ended with $code"
  on "$again" --format json quantize large smoothquant --imatrix large.imatrix -n out --checkpoint-dir cp --resume cp > resumed.json
  [ "$(field resumed.json resumed)" -gt 0 ] || fail "$how: no unit was taken over"
  same_directory out reference
  [ ! -e out.partial ] && [ ! -e cp ] || fail "$how: something was left"
  hit=$((hit + 1))
done
[ $hit -ge 2 ] || fail "only $hit of 4 ends came in time"

# Replaced only by --force, and only what is a W8A8 directory.
on 1 quantize "$model" smoothquant --imatrix pebble.imatrix -n static --force > /dev/null
same_directory static $first
mkdir outer && cp -r "$model" outer/model && mkdir mine && echo precious > mine/notes.txt

q=(quantize "$model")
expect 2 "${q[@]}" smoothquant --imatrix pebble.imatrix
grep -q 'output exists already' err.txt || fail "words"
expect 2 "${q[@]}" smoothquant --imatrix pebble.imatrix -n mine --force
[ "$(cat mine/notes.txt)" = precious ] || fail "a stranger's directory was touched"
expect 2 quantize outer/model smoothquant --imatrix pebble.imatrix -o outer -n model --force
grep -q 'output is or holds the input' err.txt || fail "words"
expect 2 "${q[@]}" smoothquant -n a/b
expect 2 "${q[@]}" smoothquant --alpha 1.01
grep -q -- '--alpha 1.01 is not in \[0, 1\]' err.txt || fail "words"
for alpha in -0.1 nan much 0.5x ''; do expect 2 "${q[@]}" smoothquant "--alpha=$alpha"; done
expect 2 "${q[@]}" gguf -q Q4_K_M --alpha 0.5
grep -q -- '--alpha requires --smoothquant' err.txt || fail "words"
expect 2 "${q[@]}" gguf -q Q4_K_M --smoothquant
grep -q -- '--smoothquant only with a W8A8 format' err.txt || fail "words"
expect 2 "${q[@]}" gguf -q Q4_K_M --activation-scales static
expect 2 "${q[@]}" smoothquant -q IQ1_S
grep -q 'only for gguf' err.txt || fail "words"
expect 2 "${q[@]}" smoothquant --dynamic
expect 2 "${q[@]}" smoothquant --activation-scales sometimes
expect 2 "${q[@]}" smoothquant -n kept2 --tensor-type ffn_down=Q4_K
expect 2 quantize $first smoothquant -n again
expect 3 quantize missing smoothquant
head -c 3000 pebble.imatrix > broken.imatrix
expect 10 "${q[@]}" smoothquant -n out2 --imatrix broken.imatrix
expect 10 "${q[@]}" smoothquant -n out2 --imatrix large.imatrix
expect 10 "${q[@]}" smoothquant -n out2 --imatrix missing.imatrix
on 1 quantize "$model" gguf -q Q8_0 -n small > /dev/null
expect 8 quantize small.gguf smoothquant -n out2 --allow-requantize
expect 15 "${q[@]}" smoothquant -n out2 --calibration-data /dev/null

# A weight that is no number is named, and the directory does not stay.
copy_model damaged
at=$(python3 - damaged/model.safetensors model.layers.1.mlp.up_proj.weight << 'PY'
import json, struct, sys
with open(sys.argv[1], "rb") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    print(8 + size + json.loads(file.read(size))[sys.argv[2]]["data_offsets"][0] + 2 * 256 * 3 + 2 * 7)
PY
)
put_bf16 damaged/model.safetensors "$at" '\xc0\x7f'
expect 14 quantize damaged smoothquant -n out2 --imatrix pebble.imatrix
grep -q 'blk.1.ffn_up.weight: the weight at row 3, column 7 is nan' err.txt || { cat err.txt; fail "the weight is not named"; }

# A full disk: typed, and what is there can be gone on with.
(ulimit -f 2000; "$LLMQ_BIN" --verbosity quiet quantize "$model" smoothquant --imatrix pebble.imatrix -n full --checkpoint-dir cp2 2> full.txt) && fail "a full disk was not noticed"
grep -q 'GeneralError' full.txt || { cat full.txt; fail "no typed error for a full disk"; }
[ ! -e full ] || fail "half a directory was published"
on 2 quantize "$model" smoothquant --imatrix pebble.imatrix -n full --checkpoint-dir cp2 --resume cp2 > /dev/null
same_directory full $first

# Steps of a job: made, judged, and not made again.
cat > job.json << JSON
{"version": 1, "name": "w8a8", "steps": [
  {"id": "make", "type": "quantize", "model": "$model", "format": "smoothquant", "quant-level": "W8A8", "alpha": 0.6, "imatrix": "pebble.imatrix", "output-name": "by-job"},
  {"id": "judge", "type": "quality", "original": "$model", "candidates": ["\${steps.make.output}"], "calibration-samples": 4}]}
JSON
on 1 run job.json > job.txt
[ -d by-job ] || fail "the job made nothing"
on 1 run job.json > job.txt
[ "$(grep -c 'skipped' job.txt)" = 2 ] || { cat job.txt; fail "a job that is up to date ran again"; }
echo more >> by-job/tokenizer_config.json
on 1 run job.json > job.txt
grep -q '^make *quantize *run ' job.txt || { cat job.txt; fail "a changed directory was not noticed"; }
echo "$conditions conditions, $hit ends resumed"
