#!/usr/bin/env bash
# Exit codes of the contract, each for a real reason, in human and JSON form, on one and on two ranks.
. "$(dirname "$0")/lib.sh"

# expect CODE ARGS...: alone, under mpirun, and the JSON error object.
expect() {
  local wanted=$1 code; shift
  code=0; "$LLMQ_BIN" --verbosity quiet "$@" > out.txt 2> err.txt || code=$?
  [ $code = "$wanted" ] || { cat err.txt; fail "$* gave $code, not $wanted"; }
  grep -q 'Error\|Interrupted' err.txt || fail "$*: no message"
  code=0; "$LLMQ_BIN" --verbosity quiet --format json "$@" > out.json 2> /dev/null || code=$?
  [ $code = "$wanted" ] && grep -q "\"error_code\": $wanted," out.json || fail "$*: JSON error"
  code=0; mpirun -n 2 "$LLMQ_BIN" --verbosity quiet "$@" > /dev/null 2>&1 || code=$?
  [ $code = "$wanted" ] || fail "$* gave $code under mpirun, not $wanted"
}

expect 2 quantize "$model" gguf -q NOPE
expect 2 quantize "$model" gguf
expect 2 quantize "$model" gguf -q Q8_0 --no-such-option
expect 2 quantize "$model" tarball -q Q8_0
expect 8 quantize "$model" gguf -q IQ1_S
expect 8 quantize "$model" awq -q Q8_0
expect 8 analyze "$model" --method fisher
expect 8 analyze "$model" --identify-super-weights
expect 3 quantize nowhere gguf -q Q8_0
expect 3 info nowhere
expect 5 --mem-per-rank 1MB quantize "$model" gguf -q Q8_0
expect 5 --mem-per-rank 1MB analyze "$model" "${few[@]}"
expect 10 quantize "$model" gguf -q Q8_0 --imatrix nowhere.imatrix
expect 10 quantize "$model" gguf -q Q8_0 --imatrix "$LLMQ_TEST_DATA/vectors/imatrix/legacy.dat"
expect 15 analyze "$model" --calibration-data nowhere.txt
: > empty.txt; expect 15 analyze "$model" --calibration-data empty.txt
printf 'short' > short.txt; expect 15 analyze "$model" --calibration-data short.txt
head -c 3000 "$LLMQ_BIN" > binary.txt; expect 15 analyze "$model" --calibration-data binary.txt
echo '{"text": 3}' > bad.jsonl; expect 15 analyze "$model" --calibration-data bad.jsonl
expect 7 analyze "$model" "${few[@]}" --resume nowhere

mkdir broken && cp "$model"/*.json "$model"/tokenizer.model broken/ && head -c 100000 "$model/model.safetensors" > broken/model.safetensors
expect 6 quantize broken gguf -q Q8_0
echo '{"architectures": ["FancyForCausalLM"]}' > broken/config.json; expect 8 quantize broken gguf -q Q8_0
echo '{' > broken/config.json; expect 6 quantize broken gguf -q Q8_0

# NaN in a weight is named; nothing stays behind.
mkdir nan && cp "$model"/* nan/ && chmod u+w nan/*
printf '\300\177' | dd of=nan/model.safetensors bs=1 seek=4000000 conv=notrunc status=none
expect 6 quantize nan gguf -q Q8_0
grep -q 'row [0-9]*, column [0-9]*' err.txt || { cat err.txt; fail "NaN without its place"; }
expect 16 analyze nan "${few[@]}"

# Existing output, in == out, an output that cannot grow.
"$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q Q8_0 -n made > /dev/null
expect 2 quantize "$model" gguf -q Q8_0 -n made
expect 2 quantize made.gguf gguf -q Q8_0 --allow-requantize --force -n made
ln -s made.gguf link.gguf; expect 2 quantize made.gguf gguf -q F16 --allow-requantize --force -n link
expect 2 quantize made.gguf gguf -q Q4_0 -n again
code=0; (ulimit -f 100; "$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q Q8_0 -n big --no-checkpoints > /dev/null 2> err.txt) || code=$?
[ $code = 1 ] || { cat err.txt; fail "a file size limit gave $code"; }
[ ! -e big.gguf ] && [ ! -e big.gguf.partial ] || fail "a half-written file stayed"
"$LLMQ_BIN" --help | grep -q Examples && "$LLMQ_BIN" quantize --help | grep -q Examples || fail "--help has no examples"
echo "every condition has its code"
