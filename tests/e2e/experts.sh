#!/usr/bin/env bash
# Models with experts: importance of each expert, the same bytes on any number of ranks and grids, experts no token was given to,
# files of every kind of level, and what is refused.
. "$(dirname "$0")/lib.sh"
for class in Mixtral Qwen2Moe Qwen3Moe; do "$LLMQ_MAKE_MODEL" $class "$model" 2 256 512 ${class}ForCausalLM; done
samples=(--calibration-samples 6 --ctx 64)

for class in Mixtral Qwen2Moe Qwen3Moe; do
  on 1 analyze $class "${samples[@]}" -o $class.imatrix > /dev/null
  for grid in "2 1" "3 1" "2 2"; do
    read -r ranks groups <<< "$grid"
    on "$ranks" analyze $class "${samples[@]}" --layer-groups "$groups" -o other.imatrix > /dev/null
    same $class.imatrix other.imatrix
  done
  on 1 quantize $class gguf -q IQ2_XS --imatrix $class.imatrix -n $class > /dev/null
  on 3 quantize $class gguf -q IQ2_XS --imatrix $class.imatrix -n other --force > /dev/null
  same $class.gguf other.gguf
  on 2 --format json quality report $class $class.gguf --chunks 4 --ctx 64 --include-layers > report.json
  python3 - << 'PY' || fail "$class: report"
import json
report = json.load(open("report.json"))
assert 0 < report["metrics"]["kld_mean"] < 2, report["metrics"]
experts = [t for t in report["tensor_errors"] if "_exps" in t["tensor_name"]] if "tensor_name" in report["tensor_errors"][0] else [t for t in report["tensor_errors"] if "_exps" in str(t)]
assert len(experts) == 6 and all(t["mse"] > 0 for t in experts), experts
PY
done

# llama.cpp's form has the counts of each expert, and adds up to the tokens times the experts of a token.
on 1 analyze Qwen3Moe "${samples[@]}" --imatrix-format gguf -o counts.gguf > /dev/null
on 1 quantize Qwen3Moe gguf -q IQ2_XS --imatrix counts.gguf -n by-gguf > /dev/null
on 1 --format json info Qwen3Moe.imatrix > info.json
python3 - << 'PY' || fail "counts of experts"
import struct
data = open("counts.gguf", "rb").read()
name = b"blk.0.ffn_gate_exps.weight.counts"
at = data.index(name) + len(name)
dims = struct.unpack_from("<I", data, at)[0]
extents = struct.unpack_from(f"<{dims}Q", data, at + 4)
assert 8 in extents, extents
PY

# A text of two tokens does not reach all of eight experts: named, and quantized with the mean of the others.
"$LLMQ_BIN" analyze Qwen3Moe --calibration-samples 1 --ctx 2 -o few.imatrix > few.txt 2> few.err
grep -q 'saw no token .*ffn_gate_exps' few.err || { cat few.err; fail "experts without a token are not named"; }
on 1 --format json info few.imatrix | grep -q 'blk.0.ffn_gate_exps.weight\[' || fail "info does not name them"
"$LLMQ_BIN" quantize Qwen3Moe gguf -q IQ2_XS --imatrix few.imatrix -n few > /dev/null 2> few.err
grep -q 'ffn_gate_exps' few.err || { cat few.err; fail "quantize does not name them"; }

# W8A8 leaves experts and routers as they are, all of them.
on 2 quantize Qwen2Moe smoothquant --imatrix Qwen2Moe.imatrix -n w8a8 > /dev/null
on 1 quantize Qwen2Moe smoothquant --imatrix Qwen2Moe.imatrix -n w8a8-alone > /dev/null
same w8a8/model.safetensors w8a8-alone/model.safetensors
grep -q '"re:model\\\\.layers\\\\.1\\\\.mlp\\\\.experts\\\\.\\\\d+\\\\.up_proj"' w8a8/config.json || fail "experts are not in the list"
on 1 --format json quality report Qwen2Moe w8a8 --chunks 4 --ctx 64 > w8a8.json
grep -q '"kld_mean": 0.00' w8a8.json || { grep kld_mean w8a8.json; fail "W8A8 of a model with experts"; }

# What is refused: gradients, super weights, a missing or odd expert, more experts a token than there are.
expect 8 analyze Mixtral --method gradient -o out.imatrix
expect 8 analyze Mixtral --identify-super-weights -o out.imatrix
cp -r Qwen3Moe odd
sed -i 's/"num_experts_per_tok":2/"num_experts_per_tok":9/' odd/config.json
expect 6 analyze odd -o out.imatrix
sed -i 's/"num_experts_per_tok":9/"num_experts_per_tok":2/; s/"num_experts":8/"num_experts":9/' odd/config.json
expect 6 analyze odd -o out.imatrix
sed -i 's/"num_experts":9/"num_experts":8/; s/"norm_topk_prob":true/"norm_topk_prob":false/' odd/config.json
expect 8 analyze odd -o out.imatrix
echo "$conditions conditions"
