#!/usr/bin/env bash
# zsh reads the completion, and in a terminal of its own offers what it should.
set -euo pipefail
: "${LLMQ_SHARE:?}"
fail() { echo "FAIL: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
zsh -n "$LLMQ_SHARE/zsh/site-functions/_llm-quantize" || fail "zsh cannot parse the completion"

# typed LINE: the command line after Tab, or what is listed below it. A shell in a pseudo terminal, as a user has it.
cat > "$work/typed.zsh" << 'ZSH'
zmodload zsh/zpty
cd $1
zpty -b shell 'zsh -f -i'
ask() { zpty -w shell "$1" }
# Until the text appears; the prompt's marker ends what was printed before.
await() {
  local seen chunk tries
  for ((tries = 0; tries < 600; tries++)); do
    while zpty -rt shell chunk; do seen+=$chunk; done
    [[ $seen == *$~1* ]] && { print -r -- "$seen"; return 0; }
    sleep 0.05
  done
  print -r -- "$seen"
  return 1
}
ask "PROMPT= RPROMPT= ; unsetopt zle_bracketed_paste; fpath=($2 \$fpath); autoload -Uz compinit; compinit -u -d $1/dump"
ask "bindkey '^I' complete-word; zstyle ':completion:*' list-colors ''; LISTMAX=1000; print ready-\$((1 + 1))"
await '*ready-2*' > /dev/null || exit 1
zpty -n -w shell "$3"$'\t'
await "$4"
result=$?
zpty -d shell
exit $result
ZSH
lines=0
expect() {  # LINE PATTERN
  TERM=dumb zsh -f "$work/typed.zsh" "$work" "$LLMQ_SHARE/zsh/site-functions" "$1" "$2" > "$work/seen.txt" ||
    { cat -v "$work/seen.txt"; fail "'$1' did not lead to $2"; }
  lines=$((lines + 1))
}
expect 'llm-quantize ' '*quantize*Make a small*'
expect 'llm-quantize quantize --quan' '*--quant-level*'
expect 'llm-quantize --format json quantize model gguf -q q4_k_m' '*Q4_K_M*'
expect 'llm-quantize quality ' '*report*'
expect 'llm-quantize info model --format js' '*json*'
expect 'llm-quantize profile show bal' '*balanced*'
echo "$lines lines complete as they should"
