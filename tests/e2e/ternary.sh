#!/usr/bin/env bash
# Ternary levels: a warning with a suggestion on ordinary weights, exact and said so on weights that are ternary already.
. "$(dirname "$0")/lib.sh"

# has FILE TYPE COUNT: so many tensors of that type.
has() { "$LLMQ_BIN" --format json info "$1" | grep -q "\"$2\": $3" || fail "$1 has not $3 tensors of $2"; }

for ranks in 1 2; do
  on $ranks --format json quantize "$model" gguf -q TQ2_0 -o "np$ranks" > "ordinary$ranks.json"
  grep -o 'the weights are not ternary: three levels keep [0-9]* %' "ordinary$ranks.json" > "warning$ranks" || fail "no warning on $ranks ranks"
  grep "IQ1_M" "ordinary$ranks.json" > /dev/null || fail "no suggestion"
done
cmp -s warning1 warning2 || fail "the warning depends on the number of ranks"
same np1/pebble-TQ2_0.gguf np2/pebble-TQ2_0.gguf
has np1/pebble-TQ2_0.gguf TQ2_0 28

# What comes out is ternary: again, and in the smaller form, nothing is lost.
"$LLMQ_BIN" quantize np1/pebble-TQ2_0.gguf gguf -q TQ2_0 --allow-requantize -n again > /dev/null 2> again.log
grep "The weights are ternary already" again.log > /dev/null || fail "ternary weights were not noticed"
if grep "not ternary" again.log > /dev/null; then fail "warned about ternary weights"; fi
"$LLMQ_BIN" quantize np1/pebble-TQ2_0.gguf gguf -q TERNARY --allow-requantize -n small > /dev/null 2> small.log
grep "The weights are ternary already" small.log > /dev/null || fail "ternary weights were not noticed in the smaller form"
has small.gguf TQ1_0 28
for file in again small; do
  "$LLMQ_BIN" --verbosity quiet --format json quality report np1/pebble-TQ2_0.gguf $file.gguf --text "$text" --ctx 64 --include-layers > $file.json
  # The token embedding is no ternary tensor and is encoded anew; the layers must be the same to the last bit.
  grep '"max_error"' $file.json | grep -v '"max_error": 0\.0' > "$file.changed" || true
  [ "$(wc -l < "$file.changed")" -le 2 ] || { cat "$file.json"; fail "$file lost something"; }
done
echo "ternary levels hold"
