#!/usr/bin/env bash
# Equal sha256 of imatrix and GGUF for np 1..4, L = 1 and 2, one and two threads, other names and directories, and
# for every instruction set of this CPU.
. "$(dirname "$0")/lib.sh"

methods="fisher gradient activation" counts="2 3 4" grids="2 4"   # the last method's matrix serves below
[ "$LLMQ_SLOW" = 1 ] && methods="fisher activation" counts="3" grids="2"
for method in $methods; do
  # With LLMQ_ALL gradients on all of them, too.
  tried=$counts; [ -n "${LLMQ_ALL:-}" ] || [ "$method" = activation ] || tried=3
  one_of=(--method "$method" --identify-super-weights --coverage 0.001 "${few[@]}")
  rm -rf ./*.imatrix dir2 dir4
  on 1 --threads 1 analyze "$model" -o reference.imatrix "${one_of[@]}" > /dev/null
  for ranks in $tried; do
    on "$ranks" --threads 1 analyze "$model" -o "np$ranks.imatrix" "${one_of[@]}" > /dev/null
    same reference.imatrix "np$ranks.imatrix"
  done
  on 1 --threads 2 analyze "$model" -o threads2.imatrix "${one_of[@]}" > /dev/null
  same reference.imatrix threads2.imatrix
  for ranks in $grids; do
    mkdir -p "dir$ranks"
    on "$ranks" --threads 2 analyze "$model" -o "dir$ranks/other.imatrix" --layer-groups 2 "${one_of[@]}" > /dev/null
    same reference.imatrix "dir$ranks/other.imatrix"
  done
done

levels="Q4_K_M Q2_K IQ1_M IQ3_XXS TQ1_0 Q8_0 F16" target_levels="Q4_K_M IQ1_M TQ1_0"
[ "$LLMQ_SLOW" = 1 ] && levels="Q4_K_M IQ1_M TQ1_0" target_levels="IQ1_M"
for level in $levels; do
  on 1 --threads 1 quantize "$model" gguf -q "$level" --imatrix reference.imatrix -n "reference-$level" > /dev/null
  for ranks in $counts; do
    on "$ranks" --threads 2 quantize "$model" gguf -q "$level" --imatrix reference.imatrix -o "out$ranks" > /dev/null
    same "reference-$level.gguf" "out$ranks/pebble-$level.gguf"
  done
done

targets=$("$LLMQ_BIN" --format json info --kernels | sed -n '/"usable"/,/]/p' | grep -o '[A-Z][A-Z0-9]*')
[ -n "$targets" ] || fail "no instruction sets listed"
for target in $targets; do
  for level in $target_levels; do
    LLM_QUANTIZE_KERNELS=$target on 1 quantize "$model" gguf -q "$level" --imatrix reference.imatrix -o "out-$target" > /dev/null
    same "reference-$level.gguf" "out-$target/pebble-$level.gguf"
  done
done
code=0; LLM_QUANTIZE_KERNELS=none on 1 info "$model" > /dev/null 2>&1 || code=$?
[ "$code" = 2 ] || fail "an unknown instruction set was accepted"

on 1 --format json quality report "$model" reference-Q4_K_M.gguf --text "$text" --ctx 64 --include-layers > one.json
on 3 --format json quality report "$model" reference-Q4_K_M.gguf --text "$text" --ctx 64 --include-layers > three.json
for key in perplexity_original perplexity_quantized kld_mean kld_p99 mse max_error; do
  [ "$(grep "\"$key\"" one.json)" = "$(grep "\"$key\"" three.json)" ] || fail "$key depends on the number of ranks"
done
[ -z "$(find . -name '*.partial' -o -name '.checkpoint')" ] || fail "something was left behind"
echo "same bytes everywhere"
