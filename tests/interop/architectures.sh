#!/usr/bin/env bash
# Every architecture as stock llama.cpp sees it: it loads our files of a small model with random weights, and on the F32 file its
# softmax (F32 KV cache, no flash attention) is that of our forward pass of the original. Quantized files are compared expanded to
# F32, where both sides have the same weights, and as they are, where stock kernels round activations. Environment as interop.mjs.
# An architecture is tried with one of three levels in turn, with all if it is an argument (those alone are tried) or with LLMQ_ALL=1.
set -euo pipefail
: "${LLMQ_BIN:?}" "${LLMQ_PRINT_IDS:?}" "${LLMQ_PRINT_LOGITS:?}" "${LLMQ_MAKE_MODEL:?}" "${LLMQ_TEST_DATA:?}" "${LLMQ_TEXT:?}"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# shellcheck source=tests/interop/stock.sh
. "$here/stock.sh"
build_stock "$here"

tool() { "$LLMQ_BIN" --verbosity quiet "$@"; }
logits() { "$LLMQ_PRINT_LOGITS" "$1" ids.txt 512 1 "$2"; }
kld() { awk -v model="$1" '$1 == model { print $4 }' stock.txt; }
below() { awk -v kld="$1" -v bound="$2" 'BEGIN { exit !(kld != "" && kld > -1e-9 && kld < bound) }'; }
failed=0 turn=0 all=(Q8_0 Q4_K_M IQ2_XS)
classes=(Llama LlamaYarn Mistral Qwen2 Qwen3 Qwen3Yarn Gemma2 Gemma3 Olmo2 Phi3 StableLm SmolLM3 Mixtral Qwen2Moe Qwen3Moe)
[ $# = 0 ] || { classes=("$@"); LLMQ_ALL=1; }
printf '%-10s %-8s %12s %12s   (KL divergence of 512 tokens from stock)\n' architecture level 'expanded' 'as it is'
for class in "${classes[@]}"; do
  layers=3; [ "$class" != Gemma3 ] || layers=7   # the sixth sees all tokens, the others 64
  [ "$class" != SmolLM3 ] || layers=5   # the fourth does not rotate
  "$LLMQ_MAKE_MODEL" model "$LLMQ_TEST_DATA/pebble" $layers 256 512 "${class}ForCausalLM"
  "$LLMQ_PRINT_IDS" model "$LLMQ_TEXT" | tr -c '0-9-' ' ' > ids.txt
  tool quantize model gguf -q F32 -n F32 > /dev/null
  tool analyze model --calibration-samples 4 --ctx 128 -o model.imatrix > /dev/null
  logits model F32.logits
  ./stock_scores "$libraries" ids.txt 512 1 F32.gguf F32.logits > stock.txt
  exact=$(kld F32.logits)
  below "$exact" 1e-6 || { echo "FAIL: $class: stock's softmax is not ours"; failed=1; }
  # What is read back from the file is what was read from the directory.
  logits F32.gguf again.logits
  cmp -s F32.logits again.logits || { echo "FAIL: $class: the GGUF file is another model"; failed=1; }
  printf '%-10s %-8s %12.2g\n' "$class" F32 "$exact"
  levels=("${all[turn++ % 3]}")
  [ -z "${LLMQ_ALL:-}" ] || levels=("${all[@]}")
  for level in "${levels[@]}"; do
    tool quantize model gguf -q "$level" --imatrix model.imatrix -n quantized > /dev/null
    tool quantize quantized.gguf gguf -q F32 --allow-requantize -n expanded > /dev/null
    logits quantized.gguf quantized.logits
    ./stock_scores "$libraries" ids.txt 512 1 expanded.gguf quantized.logits > stock.txt
    exact=$(kld quantized.logits)
    below "$exact" 1e-6 || { echo "FAIL: $class $level: stock's softmax is not ours"; failed=1; }
    ./stock_scores "$libraries" ids.txt 512 1 quantized.gguf quantized.logits > stock.txt
    rough=$(kld quantized.logits)
    below "$rough" 2e-2 || { echo "FAIL: $class $level: stock's own kernels are far from our pass"; failed=1; }
    printf '%-10s %-8s %12.2g %12.2g\n' "$class" "$level" "$exact" "$rough"
    rm quantized.gguf expanded.gguf
  done
  rm -rf model -- *.gguf *.logits model.imatrix
done
exit $failed
