#!/usr/bin/env bash
# What does not run a model never loads libtorch (it costs 0.8 s and 160 MiB); what runs one does.
. "$(dirname "$0")/lib.sh"

# loads_torch ARGS...: what the dynamic linker opened
loads_torch() { LD_DEBUG=files "$LLMQ_BIN" --verbosity quiet "$@" 2> opened.txt > out.txt && grep -q libtorch opened.txt; }

analyze=(analyze "$model" "${few[@]}" -o made.imatrix)
loads_torch "${analyze[@]}" || fail "analyze does not show libtorch: the check below would prove nothing"
for command in "--help" "--version" "info $model" "info made.imatrix" "quantize $model gguf -q Q4_K_M --dry-run" \
    "quantize $model gguf -q Q4_K_M -n plain" "quantize $model gguf -q Q4_K_M -n weighed --imatrix made.imatrix" \
    "info plain.gguf"; do
  # shellcheck disable=SC2086
  if loads_torch $command; then fail "$command loads libtorch"; fi
  [ -s out.txt ] || fail "$command printed nothing"
done
echo "libtorch is loaded by commands that run a model only"
