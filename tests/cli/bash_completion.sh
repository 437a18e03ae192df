#!/usr/bin/env bash
# The candidates that bash gets for several positions of the cursor.
set -euo pipefail
: "${LLMQ_SHARE:?}"
fail() { echo "FAIL: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir model; : > model/config.json; : > mine.imatrix; : > 'two words.txt'
# shellcheck source=/dev/null
. "$LLMQ_SHARE/bash-completion/completions/llm-quantize"

complete -p llm-quantize | grep '_llm_quantize llm-quantize$' > /dev/null || fail "nothing is registered"

# offered WORD...: candidates for the last word of `llm-quantize WORD...`, sorted, joined by commas.
offered() {
  COMP_WORDS=(llm-quantize "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _llm_quantize
  printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | paste -sd,
}
positions=0
expect() {  # WANTED WORD...
  local wanted=$1 found; shift
  found=$(offered "$@")
  [ "$found" = "$wanted" ] || fail "llm-quantize $*: offered '$found', not '$wanted'"
  positions=$((positions + 1))
}
contains() {  # WANTED WORD...: among others
  local wanted=$1; shift
  [[ ,$(offered "$@"), == *,"$wanted",* ]] || fail "llm-quantize $*: '$wanted' is not offered, but '$(offered "$@")'"
  positions=$((positions + 1))
}
lacks() {  # UNWANTED WORD...
  local unwanted=$1; shift
  [[ ,$(offered "$@"), != *,"$unwanted",* ]] || fail "llm-quantize $*: '$unwanted' is offered"
  positions=$((positions + 1))
}

# Commands, also behind global options and their values.
expect quantize quan
for command in quantize analyze quality info; do contains "$command" ''; done
expect quantize --format json quan
expect quantize --format = json quan
expect info --log-file info inf
contains report quality ''
lacks quantize quality ''
expect '' nonsense ''
expect '' nonsense quan

# Options: the command's own and the global ones.
expect --quant-level quantize --quan
expect --quant-level quantize model gguf --quan
contains --mem-per-rank quantize --
contains --include-layers quality report --
lacks --quant-level analyze --
contains --format ''-
lacks --ctx ''-
contains --imatrix quantize model gguf ''
for planned in --dynamic --smoothquant --protect-super-weights --quality-report; do
  "$LLMQ_BIN" quantize --help | grep -e "$planned" > /dev/null || lacks "$planned" quantize --
done

# Values.
expect Q4_0,Q4_1,Q4_K_M,Q4_K_S quantize model gguf -q Q4_
contains Q4_K_M quantize -q q4
contains Q4_K_M quantize --quant-level = q4_k
contains Q8_0 quantize -q ''
expect human,json --format ''
expect json info model --format j
expect json info model --format = j
expect human,json info model --format =
expect verbose quantize --verbosity V
contains serial --comm ''
contains activation analyze --method ''
contains hdf5 analyze --imatrix-format ''
contains auto analyze --layer-groups ''
expect '' analyze --ctx ''
expect gguf,smoothquant quantize model ''
contains create profile ''
expect balanced profile show bal
expect mine.imatrix profile validate mi
contains --target-size profile create --

# Paths.
expect 'mine.imatrix,model' quantize m
expect mine.imatrix quantize model gguf --imatrix mi
expect model quantize model gguf -o ''
expect model analyze --resume m
expect model/config.json info model/
expect 'two words.txt' quality report --text tw
expect mine.imatrix quality report model mi
HOME=$work
# shellcheck disable=SC2088  # what was typed, for the completion to expand
expect "$work/model" info '~/mo'
echo "$positions positions of the cursor complete as they should"
