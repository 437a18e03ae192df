#!/usr/bin/env bash
# docs/from-llama-cpp.md against the program: every option in backticks in a column "ours" (and in "here") is in the
# --help of its command or a global one, or is marked "(planned)"; and what is marked so is not there yet.
set -euo pipefail
: "${LLMQ_BIN:?}" "${LLMQ_SOURCE:?}"
fail() { echo "FAIL: docs/from-llama-cpp.md: $*" >&2; exit 1; }
page=$LLMQ_SOURCE/docs/from-llama-cpp.md

commands=(quantize analyze 'profile create' 'profile validate' 'quality report' info convert)
options_in() { sed -n 's/^  \(-[^ ]*\).*/\1/p' <<< "$1" | tr ',' '\n'; }
declare -A known
known[global]=$(options_in "$("$LLMQ_BIN" --help)")
for command in "${commands[@]}"; do
  # shellcheck disable=SC2086  # two words
  known[$command]=$(options_in "$("$LLMQ_BIN" $command --help)")
done
every=$(printf '%s\n' "${known[@]}")

# The options that may stand in this place: those of the section's command, or of the command that is named.
options_for() {  # SPAN
  local command
  for command in "${commands[@]}"; do
    [[ $1 != "llm-quantize $command"* && $1 != "$command "* ]] || { printf '%s\n' "${known[$command]}" "${known[global]}"; return; }
  done
  if [ -n "${known[$section]:-}" ]; then printf '%s\n' "${known[$section]}" "${known[global]}"; else printf '%s\n' "$every"; fi
}

checked=0
check_span() {  # `SPAN` or `SPAN` (planned)
  local span=${1#\`} word planned=no
  [[ $1 == *'(planned)' ]] && planned=yes
  span=${span%%\`*}
  for word in $span; do
    [[ $word == -[a-z-]* ]] || continue
    checked=$((checked + 1))
    if options_for "$span" | grep -xF -e "${word%%=*}" > /dev/null; then  # -q would end the pipe early
      [ $planned = no ] || fail "$word is there now, but still marked as planned"
    else
      [ $planned = yes ] || fail "$word (section $section) is not in --help"
    fi
  done
}

# The columns after llama.cpp's own words: the second of the tables "| llama-... | ours |", the third elsewhere.
section=any columns=
while IFS= read -r line; do
  case $line in
    '## '*\`*) section=${line#*\`} section=${section%%\`*} columns= ;;
    '## '*) section=any columns= ;;
    '| '*' | ours |'*) columns=3- ;;
    '| '*' | here |'* | '| file |'*) columns=4- ;;
    '|---'*) ;;
    '|'*)
      [ -n "$columns" ] || continue
      # shellcheck disable=SC2016  # backticks of the page
      while IFS= read -r span; do check_span "$span"; done < \
        <(cut -d'|' -f"$columns" <<< "$line" | grep -oE '`[^`]+`( \(planned\))?' || true)
      ;;
    *) columns= ;;
  esac
done < "$page"
[ $checked -gt 40 ] || fail "only $checked options found: has the form of the tables changed?"
echo "$checked options are as the page says"
