#!/usr/bin/env bash
# Exit codes of the contract, each for a real reason, in human and JSON form, on one and on two ranks; and nothing
# is ever left under a final name. Faults of disks and checkpoints: faults.sh.
. "$(dirname "$0")/lib.sh"

# --- arguments (2, 8)
expect 2 quantize "$model" gguf -q NOPE
expect 2 quantize "$model" gguf
expect 2 quantize "$model" gguf -q Q8_0 --no-such-option
expect 2 quantize "$model" tarball -q Q8_0
expect 2 quantize "$model" gguf -q Q8_0 -n sub/name
expect 2 analyze "$model" --calibration-samples 0
expect 2 analyze "$model" --method guess
expect 2 analyze "$model" --layer-groups 3
expect 2 analyze "$model" --resume . --no-checkpoints
expect 2 quality report "$model" "$model" -o report.txt
expect 2 quality report "$model" "$model" --text a --calibration-data b
expect 2 --mem-per-rank lots info "$model"
expect 2 --device cuda info "$model"
expect 2 quantize "$model" gguf -q Q8_0 --tensor-type attn_v
expect 2 quantize "$model" gguf -q Q8_0 --tensor-type 'attn_(=Q4_0'
expect 2 quantize "$model" gguf -q Q8_0 --tensor-type attn_v=Q4_9
expect 2 quantize "$model" gguf -q Q8_0 --output-tensor-type Q8_K
expect 2 quantize "$model" gguf -q Q8_0 --token-embedding-type I32
expect 2 quantize "$model" gguf -q Q8_0 --layer-bits nowhere.json
echo '{"version": 1, "rules": [{"pattern": "attn_v"}]}' > half.json
expect 2 quantize "$model" gguf -q Q8_0 --layer-bits half.json
grep -q 'half.json: /rules/0: "type" is missing' err.txt || { cat err.txt; fail "no place in the file of rules"; }
expect 2 quantize "$model" gguf -q Q8_0 --override-kv general.name
expect 2 quantize "$model" gguf -q Q8_0 --override-kv general.alignment=int:64
expect 2 quantize "$model" gguf -q Q8_0 --override-kv llama.block_count=int:2
expect 2 quantize "$model" gguf -q Q8_0 --override-kv general.name=int:2
expect 8 quantize "$model" awq -q Q8_0
expect 2 analyze "$model" --method curvature
expect 2 analyze "$model" --identify-super-weights --coverage 0.02
expect 2 analyze "$model" --identify-super-weights --coverage 0
expect 2 --device cuda analyze "$model"
expect 5 --mem-per-rank 1MB quantize "$model" gguf -q Q8_0
expect 5 --mem-per-rank 1MB analyze "$model" "${few[@]}"
expect 5 --mem-per-rank 1MB analyze "$model" --method fisher "${few[@]}"

# --- models (3, 6, 8)
for command in "quantize nowhere gguf -q Q8_0" "analyze nowhere" "info nowhere" "quality report nowhere nowhere"; do
  # shellcheck disable=SC2086
  expect 3 $command
done
copy_model broken
rm broken/model.safetensors; expect 3 quantize broken gguf -q Q8_0
head -c 100000 "$model/model.safetensors" > broken/model.safetensors
expect 6 quantize broken gguf -q Q8_0
expect 6 analyze broken "${few[@]}"
expect 6 info broken
echo '{"architectures": ["FancyForCausalLM"]}' > broken/config.json; expect 8 quantize broken gguf -q Q8_0
echo '{' > broken/config.json; expect 6 quantize broken gguf -q Q8_0
rm broken/config.json; expect 3 quantize broken gguf -q Q8_0
copy_model tokens; echo '{"model": 3}' > tokens/tokenizer.json; rm tokens/tokenizer.model
expect 6 quantize tokens gguf -q Q8_0
head -c 2000 "$model/tokenizer.model" > tokens/tokenizer.model; expect 6 analyze tokens "${few[@]}"

# A sharded checkpoint: one shard missing, one cut short, one that leads out of the directory.
copy_model sharded; mv sharded/model.safetensors sharded/model-00001-of-00001.safetensors
names=$(head -c "$(header_bytes "$model/model.safetensors")" "$model/model.safetensors" | grep -ao '"[a-z_.0-9]*weight"' | sort -u)
write_index() { { echo '{"weight_map": {'; for name in $names; do echo "$name: \"$1\","; done | sed '$s/,$//'; echo '}}'; } > sharded/model.safetensors.index.json; }
write_index model-00001-of-00001.safetensors
"$LLMQ_BIN" --verbosity quiet info sharded > /dev/null || fail "the sharded control does not load"
head -c 500000 "$model/model.safetensors" > sharded/model-00001-of-00001.safetensors; expect 6 quantize sharded gguf -q Q8_0
rm sharded/model-00001-of-00001.safetensors; expect 3 quantize sharded gguf -q Q8_0
write_index ../pebble/model.safetensors; expect 6 quantize sharded gguf -q Q8_0

# A tensor that the architecture needs is missing: its name is in the message.
copy_model missing
sed 's/model\.layers\.2\.mlp\.up_proj\.weight/model.layers.2.mlp.uq_proj.weight/' "$model/model.safetensors" > missing/model.safetensors
expect 6 quantize missing gguf -q Q8_0
grep -q 'up_proj\|ffn_up' err.txt || { cat err.txt; fail "the missing tensor is not named"; }

# NaN in a weight: tensor, row and column are named. A pass that overflows: the layer is named.
copy_model nan; put_bf16 nan/model.safetensors 4000000 '\300\177'
expect 6 quantize nan gguf -q Q8_0
grep -q 'model\.layers.*row [0-9]*, column [0-9]*' err.txt || { cat err.txt; fail "NaN without its place"; }
expect 6 quantize nan gguf -q Q8_0 --assemble gather
expect 16 analyze nan "${few[@]}"
expect 16 analyze nan --method gradient "${few[@]}"
copy_model huge
for at in 3277312 3277314 3277316; do put_bf16 huge/model.safetensors $((at + $(header_bytes huge/model.safetensors))) '\177\177'; done
expect 16 analyze huge "${few[@]}"
grep -q 'layer [0-9].*blk\.[0-9]\.' err.txt || { cat err.txt; fail "neither layer nor tensor is named"; }
expect 16 analyze huge --method fisher "${few[@]}"
grep -q 'layer 0' err.txt || { cat err.txt; fail "an overflow without its layer"; }

# --- importance matrices (10)
expect 10 quantize "$model" gguf -q Q8_0 --imatrix nowhere.imatrix
expect 10 quantize "$model" gguf -q Q8_0 --imatrix "$LLMQ_TEST_DATA/vectors/imatrix/legacy.dat"
expect 10 quantize "$model" gguf -q Q8_0 --imatrix "$LLMQ_TEST_DATA/vectors/imatrix/imatrix.gguf"
expect 10 quantize "$model" gguf -q Q8_0 --imatrix "$model/config.json"
"$LLMQ_BIN" --verbosity quiet analyze "$model" "${few[@]}" -o good.imatrix > /dev/null
"$LLMQ_BIN" info good.imatrix > /dev/null || fail "the control imatrix does not load"
head -c 9000 good.imatrix > cut.imatrix; expect 10 quantize "$model" gguf -q Q4_K_M --imatrix cut.imatrix
expect 10 quantize "$LLMQ_TEST_DATA/stories260k" gguf -q Q4_0 --imatrix good.imatrix
expect 10 info cut.imatrix

# One entry of many: what is not covered is named, and the run goes on.
{ printf '\1\0\0\0\23\0\0\0blk.0.attn_q.weight\1\0\0\0\0\1\0\0'; head -c 1024 /dev/zero | tr '\0' '?'; } > partial.dat
"$LLMQ_BIN" quantize "$model" gguf -q Q4_K_M --imatrix partial.dat -n partly > /dev/null 2> err.txt || { cat err.txt; fail "a partial imatrix"; }
grep -q 'no importance in the imatrix.*blk.3.ffn_down.weight' err.txt || { cat err.txt; fail "no word about what is not covered"; }
rm partly.gguf
# What requires importance is refused before work starts, every tensor without it named.
names_all() { for name in "$@"; do grep "blk\.3\.$name\.weight" err.txt > /dev/null || { cat err.txt; fail "$name is not named"; }; done; }
names_none() { if grep "$1" err.txt > /dev/null; then cat err.txt; fail "a tensor too many is named"; fi; }
for level in IQ1_S Q2_K_S; do   # the others: unit.pipeline
  expect 10 quantize "$model" gguf -q $level
  names_all attn_q attn_k ffn_up ffn_gate
  expect 10 quantize "$model" gguf -q $level --dry-run
  expect 10 quantize "$model" gguf -q $level --imatrix partial.dat
  names_all attn_q attn_k ffn_up ffn_gate
  names_none 'blk\.0\.attn_q'
done
one=(--tensor-type 'blk\.3\.attn_v=IQ2_XS')
expect 10 quantize "$model" gguf -q Q8_0 "${one[@]}"
names_all attn_v
names_none 'blk\.2'
expect 10 quantize "$model" gguf -q Q8_0 "${one[@]}" --imatrix partial.dat
# A shard of other models' tensors only.
{ printf '\1\0\0\0\23\0\0\0blk.9.attn_q.weight\1\0\0\0\0\1\0\0'; head -c 1024 /dev/zero | tr '\0' '?'; } > foreign.dat
expect 10 quantize "$model" gguf -q Q4_K_M --imatrix foreign.dat

# --- texts (15)
expect 15 analyze "$model" --calibration-data nowhere.txt
: > empty.txt; expect 15 analyze "$model" --calibration-data empty.txt
printf 'short' > short.txt; expect 15 analyze "$model" --calibration-data short.txt
head -c 3000 "$LLMQ_BIN" > binary.txt; expect 15 analyze "$model" --calibration-data binary.txt
echo '{"text": 3}' > bad.jsonl; expect 15 analyze "$model" --calibration-data bad.jsonl
echo '{"text": "not an array"}' > bad.json; expect 15 analyze "$model" --calibration-data bad.json
echo '[' > cut.json; expect 15 analyze "$model" --calibration-data cut.json
echo 'a,b' > table.csv; expect 15 analyze "$model" --calibration-data table.csv

# --- outputs (2): existing, the input itself (also through links), not a directory, not writable.
"$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q Q8_0 -n made > /dev/null
cp made.gguf kept.gguf
expect 2 quantize "$model" gguf -q Q8_0 -n made
expect 2 quantize made.gguf gguf -q Q8_0 --allow-requantize --force -n made
ln -s made.gguf link.gguf; expect 2 quantize made.gguf gguf -q F16 --allow-requantize --force -n link
ln made.gguf hard.gguf; expect 2 quantize made.gguf gguf -q F16 --allow-requantize --force -n hard
# A file system that ignores case answers for MADE.gguf with the inode of made.gguf, as this link does.
ln made.gguf MADE.gguf; expect 2 quantize made.gguf gguf -q F16 --allow-requantize --force -n MADE
expect 2 quantize made.gguf gguf -q Q4_0 -n again
expect 2 analyze made.gguf -o link.gguf
expect 2 analyze "$model" --calibration-data bad.json -o bad.json
expect 2 quantize "$model" gguf -q Q8_0 -o short.txt/below
expect 2 quantize "$model" gguf -q Q8_0 -o /proc/nowhere
expect 2 analyze "$model" "${few[@]}" -o /proc/nowhere/out.imatrix
cmp -s made.gguf kept.gguf || fail "an existing file was changed"
head -c 3000000 made.gguf > cut.gguf
expect 6 info cut.gguf
expect 6 quality report "$model" cut.gguf "${few[@]:0:2}"
expect 6 quality report "$LLMQ_TEST_DATA/stories260k" made.gguf

for help in --help "quantize --help" "analyze --help" "quality report --help" "info --help"; do
  # shellcheck disable=SC2086
  "$LLMQ_BIN" $help | grep Example > /dev/null || fail "$help has no examples"
done
echo "$conditions conditions have their code"
