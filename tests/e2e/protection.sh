#!/usr/bin/env bash
# Protected super weights: the same bytes on any number of ranks and with either assembly, resumed runs included; what the
# results say; and every way in which the options are wrong.
. "$(dirname "$0")/lib.sh"

copy_model planted
"$LLMQ_PLANT_MODEL" planted spike 1 77 300 20 60
"$LLMQ_PLANT_MODEL" planted spike 2 12 555 -15 80
on 1 analyze planted --identify-super-weights --calibration-samples 64 -o planted.imatrix > /dev/null
protect=(quantize planted gguf -q IQ2_XS --imatrix planted.imatrix --protect-super-weights)

for ranks in 1 2 3; do
  on $ranks --threads 2 --format json "${protect[@]}" --super-weight-lora lora$ranks.gguf -n np$ranks > np$ranks.json
done
on 2 "${protect[@]}" --assemble gather --super-weight-lora lora4.gguf -n gathered > /dev/null
for ranks in 2 3; do same np1.gguf np$ranks.gguf; same lora1.gguf lora$ranks.gguf; done
same np1.gguf gathered.gguf; same lora1.gguf lora4.gguf

# field NAME: a number of super_weight_protection.
field() { sed -n "s/.*\"$1\": \([0-9.e+-]*\),\?$/\1/p" "$2" | head -1; }
grep -q '"spikes": 2,' np1.json || { cat np1.json; fail "two planted weights"; }
[ "$(field protected np1.json)" = $(($(field by_search np1.json) + $(field by_higher_type np1.json))) ] || fail "ways do not add up"
grep -q '"method": "search"' np1.json || fail "no tensor by the block search"
awk -v e="$(field largest_relative_error np1.json)" 'BEGIN { exit !(e > 0 && e <= 1 / 2048) }' || fail "error above half precision's"
grep -v -e duration -e peak -e seconds -e output_path np1.json | sed -n '/super_weight_protection/,/"units"/p' | grep -v '"path"' > one.txt
grep -v -e duration -e peak -e seconds -e output_path np3.json | sed -n '/super_weight_protection/,/"units"/p' | grep -v '"path"' > three.txt
cmp one.txt three.txt || fail "ranks report different figures"

# The plan says what the run does, and an imatrix without a search only loses the spikes.
on 1 --format json "${protect[@]}" --dry-run > plan.json
for name in protected by_search by_higher_type cost_bytes; do
  [ "$(field $name plan.json)" = "$(field $name np1.json)" ] || fail "plan and run differ in $name"
done
on 1 analyze planted "${few[@]}" -o plain.imatrix > /dev/null
"$LLMQ_BIN" quantize planted gguf -q Q2_K --imatrix plain.imatrix --protect-super-weights --protection-coverage 0.00001 -n unsearched \
  > /dev/null 2> log.txt
grep -q 'nobody looked for super weights.*--identify-super-weights' log.txt || { cat log.txt; fail "no warning"; }
grep -q 'Protected parameters: 31 (0.001%)' log.txt || { cat log.txt; fail "not one weight in 100,000"; }
grep -q 'llm_quantize.protected_weights' unsearched.gguf || fail "no provenance"

# Two pairs of large weights that nearly cancel: what protection is for. More than 5 % of perplexity, at 1 % more bits or less.
copy_model pairs
"$LLMQ_PLANT_MODEL" pairs pair 1 77 384 444 60 1.5
"$LLMQ_PLANT_MODEL" pairs pair 2 12 599 722 60 1.5
on 1 analyze pairs --calibration-samples 64 --identify-super-weights -o pairs.imatrix > /dev/null
for level in IQ2_M IQ2_S; do
  on 1 quantize pairs gguf -q $level --imatrix pairs.imatrix -n plain > /dev/null
  on 1 quantize pairs gguf -q $level --imatrix pairs.imatrix --protect-super-weights --protection-coverage 0.000002 -n held > /dev/null
  on 1 --format csv quality compare pairs plain.gguf held.gguf --chunks 24 > pairs.csv
  awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
    NR > 1 { perplexity[NR] = $column["perplexity_quantized"]; bits[NR] = $column["effective_bpw"] }
    END { exit !(perplexity[3] < 0.95 * perplexity[2] && bits[3] < 1.01 * bits[2]) }' pairs.csv || { cat pairs.csv; fail "protection does not pay at $level"; }
  rm plain.gguf held.gguf
done

# Interrupted, continued on another number of ranks.
make_large_model large
on 2 analyze large --calibration-samples 2 --ctx 64 -o large.imatrix > /dev/null
large=(quantize large gguf -q Q2_K --imatrix large.imatrix --protect-super-weights)
on 2 "${large[@]}" -n whole > /dev/null
start_run 0 "${large[@]}" -n resumed --checkpoint-dir cp --checkpoint-interval 0
wait_for "cp/*/journal*"
kill -USR1 "$launcher"
code=0; wait "$launcher" || code=$?
[ $code = 75 ] || fail "SIGUSR1 gave $code"
[ ! -e resumed.gguf ] || fail "a file of an unfinished run"
expect 7 quantize large gguf -q Q2_K --imatrix large.imatrix -n resumed --resume cp
on 2 "${large[@]}" -n resumed --resume cp > /dev/null
same whole.gguf resumed.gguf

expect 2 quantize planted gguf -q Q2_K --protect-super-weights
grep -q 'requires --imatrix' err.txt || fail "does not say what is missing"
for coverage in 0 -1 0.011 nan; do expect 2 "${protect[@]}" --protection-coverage=$coverage -n bad; done
expect 2 quantize planted gguf -q Q2_K --imatrix planted.imatrix --protection-coverage 0.001
expect 2 quantize planted gguf -q Q2_K --imatrix planted.imatrix --super-weight-lora x.gguf
expect 2 "${protect[@]}" -n bad --super-weight-lora np1.gguf
expect 2 "${protect[@]}" -n bad --super-weight-lora bad.gguf
expect 2 "${protect[@]}" -n bad --super-weight-lora planted.imatrix --force
expect 2 "${protect[@]}" -n bad --super-weight-lora planted/model.safetensors --force
# Super weights of another model.
on 1 analyze "$LLMQ_TEST_DATA/stories260k-wide256" --calibration-data "$text" --calibration-samples 4 --ctx 64 --identify-super-weights \
  -o other.imatrix > /dev/null
expect 10 quantize planted gguf -q Q4_0 --imatrix other.imatrix --protect-super-weights -n bad
echo "protected on every number of ranks, $conditions wrong ways refused"
