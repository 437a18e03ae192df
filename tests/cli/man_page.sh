#!/usr/bin/env bash
# The manual page formats without a warning, names what it has to, and is the same wherever it is made.
set -euo pipefail
: "${LLMQ_DOCGEN:?}" "${LLMQ_SHARE:?}" "${LLMQ_SOURCE:?}"
fail() { echo "FAIL: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
page=$LLMQ_SHARE/man/man1/llm-quantize.1

# -ww: every warning; 80 columns, so that long words have their chance.
groff -man -Tutf8 -P-cbou -ww -rLL=80n "$page" > "$work/plain.txt" 2> "$work/warnings.txt" || fail "groff cannot format the page"
[ ! -s "$work/warnings.txt" ] || { cat "$work/warnings.txt"; fail "groff warns"; }
for heading in NAME SYNOPSIS DESCRIPTION "GLOBAL OPTIONS" COMMANDS "EXIT STATUS" ENVIRONMENT FILES "SEE ALSO"; do
  grep -q "^$heading\$" "$work/plain.txt" || fail "no section $heading"
done
grep -q '^ *-q, --quant-level LEVEL$' "$work/plain.txt" || fail "-q does not read as it should"

# Every environment variable of ours that the sources read.
for name in $(grep -rhoE '"LLM_QUANTIZE_[A-Z_]+"' "$LLMQ_SOURCE/src" | tr -d '"' | sort -u); do
  grep -q "$name" "$work/plain.txt" || fail "$name is not in the manual"
done

# Same bytes from another place; no path and no date in them.
(cd "$work" && "$LLMQ_DOCGEN" again)
for document in man/man1/llm-quantize.1 bash-completion/completions/llm-quantize zsh/site-functions/_llm-quantize; do
  cmp "$LLMQ_SHARE/$document" "$work/again/$document" || fail "$document is not reproducible"
  if grep -qF -e "$LLMQ_SOURCE" -e "$work" "$work/again/$document"; then fail "$document holds a path"; fi
  if grep -qE '20[0-9]{2}-[0-9]{2}|20[0-9]{2}/' "$work/again/$document"; then fail "$document holds a date"; fi
done
echo "the manual page is clean"
