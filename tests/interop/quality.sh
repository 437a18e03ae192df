#!/usr/bin/env bash
# Our figures against those of stock llama.cpp's library (full softmax in f64) on the same tokens: levels of two models (two each, ten with
# LLMQ_ALL=1), more than 5,000 scores each. Exact on files expanded to F32, where both sides have the same weights; on the quantized
# files stock kernels round activations, so there the difference is told and only bounded. Environment as interop.mjs.
set -euo pipefail
: "${LLMQ_BIN:?}" "${LLMQ_PRINT_IDS:?}" "${LLMQ_TEST_DATA:?}" "${LLMQ_TEXT:?}"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# shellcheck source=tests/interop/stock.sh
. "$here/stock.sh"
build_stock "$here"

tool() { "$LLMQ_BIN" --verbosity quiet "$@"; }

check() {  # MODEL TEXT CTX CHUNKS LEVELS
  local model=$LLMQ_TEST_DATA/$1 levels=$5 level files=() expanded=()
  [ -z "${LLMQ_ALL:-}" ] || levels="Q8_0 Q4_K_M Q2_K IQ1_M Q6_K Q5_K_M Q4_0 IQ4_XS Q3_K_M IQ2_XS"
  tool quantize "$model" gguf -q F32 -n base > /dev/null
  tool analyze "$model" --calibration-samples 64 -o model.imatrix > /dev/null
  for level in $levels; do
    tool quantize "$model" gguf -q "$level" --imatrix model.imatrix -n "$level" > /dev/null
    tool quantize "$level.gguf" gguf -q F32 --allow-requantize -n "expanded-$level" > /dev/null
    files+=("$level.gguf"); expanded+=("expanded-$level.gguf")
  done
  tool --format json quality compare "$model" "${files[@]}" --text "$2" --ctx "$3" --chunks "$4" > ours.json
  "$LLMQ_PRINT_IDS" "$model" "$2" | tr -c '0-9-' ' ' > ids.txt
  ./stock_scores "$libraries" ids.txt "$3" "$4" base.gguf "${expanded[@]}" "${files[@]}" > stock.txt
  python3 - "$1" "$(wc -w <<< "$levels")" << 'PY'
import json, sys
name = sys.argv[1]
ours = {c["quantized_model"]: c for c in json.load(open("ours.json"))["candidates"]}
bad, rows = [], [line.split() for line in open("stock.txt")]
assert len(rows) == 2 * len(ours) == 2 * int(sys.argv[2]), len(rows)
def check(ok, text):
    if not ok: bad.append(text)
print(f"{name}: {rows[0][5]} scores\n{'level':<10}{'perplexity':>12}{'stock':>12}{'KLD':>12}{'stock':>12}{'same top':>10}{'stock':>8}")
for path, base, perplexity, kld, top, scores in rows:
    expanded = path.startswith("expanded-")
    mine = ours[path.removeprefix("expanded-")]
    base, perplexity, kld, top = map(float, (base, perplexity, kld, top))
    level = path.removeprefix("expanded-").removesuffix(".gguf") + ("" if expanded else " *")
    print(f"{level:<10}{mine['perplexity_quantized']:>12.5f}{perplexity:>12.5f}{mine['kld_mean']:>12.7f}{kld:>12.7f}{mine['same_top_pct']:>10.3f}{top:>8.3f}")
    check(int(scores) == mine["scores"] >= 5000, f"{path}: {scores} scores, ours {mine['scores']}")
    check(abs(mine["perplexity_original"] / base - 1) <= 0.002, f"{path}: perplexity of the original")
    difference = abs(mine["kld_mean"] - kld)
    if expanded:
        check(abs(mine["perplexity_quantized"] / perplexity - 1) <= 0.002, f"{path}: perplexity")
        check(difference <= max(0.01 * kld, 1e-4), f"{path}: KL divergence")
        check(abs(mine["same_top_pct"] - top) <= 0.2, f"{path}: same top token")
    else:
        check(difference <= max(0.1 * kld, 2e-3), f"{path}: KL divergence of the quantized file")
print("* the quantized file itself: stock kernels round activations\n")
if bad: sys.exit("FAIL: " + name + "\n" + "\n".join(bad))
PY
  rm -- *.gguf model.imatrix
}

python3 "$here/simple_stories.py" 120 > stories.txt
check pebble "$LLMQ_TEXT" 256 40 "Q4_K_M IQ1_M"
check stories260k-wide256 stories.txt 128 80 "Q8_0 Q2_K"
echo "stock llama.cpp's figures are ours"
