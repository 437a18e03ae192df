# Shared by the end-to-end tests: a scratch directory, the tool, and runs of it on any number of ranks.
# shellcheck shell=bash
set -euo pipefail
: "${LLMQ_BIN:?}" "${LLMQ_TEST_DATA:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
model=$LLMQ_TEST_DATA/pebble
text=$LLMQ_TEST_DATA/text/story.txt
# 20 samples of 24 tokens: quick, and divisible by none of 3, 8, 16.
few=(--calibration-data "$text" --calibration-samples 20 --ctx 24)

fail() { echo "FAIL: $*" >&2; exit 1; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
# on N ARGS...: the tool on N ranks, quiet.
on() {
  local ranks=$1; shift
  if [ "$ranks" = 1 ]; then "$LLMQ_BIN" --verbosity quiet "$@"
  else mpirun -n "$ranks" "$LLMQ_BIN" --verbosity quiet "$@"; fi
}
same() { [ "$(sha "$1")" = "$(sha "$2")" ] || fail "$1 and $2 differ"; }
