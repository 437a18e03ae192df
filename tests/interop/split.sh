#!/usr/bin/env bash
# A model in several files as stock llama.cpp sees it: it loads them by the first, and its softmax is that of the file alone, bit
# for bit; metadata alone in the first file included. Environment as interop.mjs.
set -euo pipefail
: "${LLMQ_BIN:?}" "${LLMQ_PRINT_IDS:?}" "${LLMQ_TEST_DATA:?}" "${LLMQ_TEXT:?}"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# shellcheck source=tests/interop/stock.sh
. "$here/stock.sh"
build_stock "$here"

model=$LLMQ_TEST_DATA/pebble
"$LLMQ_PRINT_IDS" "$model" "$LLMQ_TEXT" | tr -c '0-9-' ' ' > ids.txt
for level in Q8_0 Q4_K_M; do
  "$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q $level -n $level > /dev/null
  "$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q $level -n $level-several --split-max-size 700K > /dev/null
  "$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q $level -n $level-single --split-max-size 1 > /dev/null
  ./stock_scores "$libraries" ids.txt 256 4 $level.gguf $level-several-00001-of-*.gguf $level-single-00001-of-*.gguf > stock.txt
  cat stock.txt
  awk '{ kld = $4 < 0 ? -$4 : $4; if (kld > 1e-12 || $2 != $3 || $5 != 100) exit 1 } END { exit NR != 2 }' stock.txt ||
    { echo "FAIL: $level: the set is another model than the file"; exit 1; }
done
echo "stock llama.cpp loads sets, and they are the file"
