#!/usr/bin/env bash
# `convert`: Hugging Face to GGUF and back with every bit, for every architecture, on any number of ranks and after every kind of
# end; quantized weights decoded, or quantized again when that is wanted; refused with the contract's codes, nothing half-written.
. "$(dirname "$0")/lib.sh"
tests=$LLMQ_TEST_DATA/../e2e
same_tensors() { python3 "$tests/same_tensors.py" "$1" "$2" > differences.txt 2>&1 || { cat differences.txt; fail "$1 and $2 hold other tensors"; }; }
# Content of a GGUF file but for the hash of what it was made from.
content() { python3 "$tests/gguf_content.py" "$1" | grep -v '^llm_quantize.source_fingerprint '; }
same_content() { [ "$(content "$1")" = "$(content "$2")" ] || fail "$1 and $2 hold something else"; }
directory_sha() { (cd "$1" && for file in *; do sha256sum "$file"; done | sha256sum | cut -d' ' -f1); }
same_directory() { [ "$(directory_sha "$1")" = "$(directory_sha "$2")" ] || fail "$1 and $2 differ"; }
field() { sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -n 1; }
outputs() { find . -maxdepth 1 \( -name '*.gguf*' -o -name '*-hf*' -o -name 'out2*' -o -name '*.partial' \) | sort; }
# refuse CODE ARGS...: as expect, on one rank, for errors that are found before ranks part.
refuse() {
  local wanted=$1 code=0 before; shift
  before=$(outputs)
  on 1 "$@" > out.txt 2> err.txt < /dev/null || code=$?
  [ $code = "$wanted" ] && grep -q 'Error' err.txt && [ ! -s out.txt ] || { cat err.txt; fail "$* gave $code, not $wanted"; }
  [ "$(outputs)" = "$before" ] || fail "$* left something behind"
  conditions=$((conditions + 1))
}

# There and back: the file quantize writes, and the directory it was made from.
on 1 --format json convert "$model" gguf > there.json
[ "$(field there.json status),$(field there.json output_path),$(field there.json quantization_level)" = success,./pebble-BF16.gguf,BF16 ] ||
  { cat there.json; fail "the result of converting to GGUF"; }
on 1 quantize "$model" gguf -q BF16 -n quantized > /dev/null
same quantized.gguf pebble-BF16.gguf
on 1 --format json convert pebble-BF16.gguf hf > back.json
[ "$(field back.json format),$(field back.json output_path),$(field back.json file_size)" = "hf,./pebble-BF16-hf,$(cat pebble-BF16-hf/* | wc -c)" ] ||
  { cat back.json; fail "the result of converting to Hugging Face"; }
same_tensors "$model" pebble-BF16-hf
[ -s pebble-BF16-hf/tokenizer.model ] && ! grep -q 'tokenizer' back.json || fail "SentencePiece tokenizers can be written"
on 1 convert pebble-BF16-hf gguf -n again > /dev/null
same_content again.gguf pebble-BF16.gguf
on 1 --format json quality report "$model" pebble-BF16-hf --calibration-samples 4 > report.json
[ "$(field report.json kld_max)" = 0.0 ] || fail "the directory is another model"

# The same bytes, whoever makes them.
for ranks in 2 3 4; do
  on $ranks --threads $((ranks % 2 + 1)) convert pebble-BF16.gguf hf -n np$ranks-hf > /dev/null
  same_directory pebble-BF16-hf np$ranks-hf
done
on 3 convert "$model" gguf -n np3 > /dev/null
same pebble-BF16.gguf np3.gguf

in_all_formats() { [ -n "${LLMQ_ALL:-}" ] || [[ $class =~ ^(Llama|Gemma3|Qwen2Moe)$ ]]; }
# Every architecture, and some (with LLMQ_ALL all) in every number format: names, norms stored less one, rows in their order.
for class in Llama LlamaYarn Mistral Mixtral Qwen2 Qwen3 Qwen3Yarn Qwen2Moe Qwen3Moe Gemma2 Gemma3 Olmo2 Phi3 StableLm SmolLM3; do
  "$LLMQ_MAKE_MODEL" made "$model" 2 256 512 ${class}ForCausalLM
  on 1 convert made gguf -n made > /dev/null
  on 1 convert made.gguf hf -n made-hf > /dev/null
  same_tensors made made-hf
  grep -q "\"${class%Yarn}ForCausalLM\"" made-hf/config.json || fail "$class: the class is lost"
  case $class in
    LlamaYarn) grep -q '"attention_factor": 1.25,\{0,1\}$' made-hf/config.json || fail "$class: the attention factor is another" ;;
    Qwen3Yarn) ! grep -q 'attention_factor' made-hf/config.json || fail "$class: what follows from the factor is stated" ;;
  esac
  on 1 convert made-hf gguf -n remade > /dev/null
  same_content made.gguf remade.gguf
  for level in F16 F32; do
    in_all_formats || break
    on 1 convert made gguf -q $level -n made-$level > /dev/null
    on 1 convert made-$level.gguf hf -n $level-hf > /dev/null
    on 1 convert $level-hf gguf -n again-$level > /dev/null
    same_content made-$level.gguf again-$level.gguf
    on 1 convert again-$level.gguf hf -n again-$level-hf > /dev/null
    same_tensors $level-hf again-$level-hf
  done
  rm -rf made made-hf F16-hf F32-hf again-F16-hf again-F32-hf made*.gguf remade.gguf again-F*.gguf
done

# Byte-level tokenizers: tokenizer.json is written, and the file made of it says the same of the tokenizer.
for tokenizer in gpt-2 qwen2.5; do
  "$LLMQ_MAKE_MODEL" bytes "$LLMQ_TEST_DATA/tokenizers/mixed/$tokenizer" 1 128 128 Qwen2ForCausalLM
  on 1 convert bytes gguf -n bytes > /dev/null
  on 1 convert bytes.gguf hf -n bytes-hf > /dev/null 2> err.txt
  [ -s bytes-hf/tokenizer.json ] && ! grep -q 'tokenizer' err.txt || { cat err.txt; fail "$tokenizer: a tokenizer.json can be written"; }
  on 1 convert bytes-hf gguf -n rebytes > /dev/null
  same_content bytes.gguf rebytes.gguf
  content bytes.gguf | grep '^tokenizer.ggml.merges ' > merges.txt || fail "$tokenizer: nothing was compared"
  rm -r bytes bytes-hf bytes.gguf rebytes.gguf
done

# Llama 3's scaling is a tensor there and settings here; a set of files is one model.
copy_model three
sed -i 's/"rope_scaling": null/"rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128}/' three/config.json
on 1 quantize three gguf -q BF16 -n three --split-max-size 3M > /dev/null
on 2 convert three-00001-of-0000?.gguf hf > /dev/null
same_tensors three three-hf
on 1 convert three-hf gguf -n three-again > /dev/null
[ "$(content three-00001-of-0000?.gguf)" = "$(content three-again.gguf)" ] || fail "the scaling of positions was lost"
grep -q '"factor": 32.0' three-hf/config.json || fail "the factor is lost"
# Both scalings at once are none that anyone knows of.
on 1 quantize three gguf -q BF16 -n both --override-kv llama.rope.scaling.type=str:yarn > /dev/null
refuse 8 info both.gguf

# A checkpoint of mixed formats: matrices keep theirs, vectors where the values need it.
copy_model mixed
python3 - mixed/model.safetensors << 'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
head, body = json.loads(data[8:8 + size]), b""
for name, info in head.items():
    if name == "__metadata__": continue
    begin, end = info["data_offsets"]
    part = data[8 + size + begin:8 + size + end]
    if name in ("lm_head.weight", "model.norm.weight"):   # F32 with digits that BF16 has no room for
        part = b"".join(b"\x34\x12" + part[i:i + 2] for i in range(0, len(part), 2))
        info["dtype"] = "F32"
    info["data_offsets"] = [len(body), len(body) + len(part)]
    body += part
text = json.dumps(head).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + body)
PY
on 2 convert mixed gguf > /dev/null
on 1 convert mixed-BF16.gguf hf -n mixed-hf > /dev/null
same_tensors mixed mixed-hf

# Quantized weights: decoded with a warning, quantized again only when that is said.
on 1 quantize "$model" gguf -q Q8_0 -n small > /dev/null
on 1 --format json convert small.gguf hf > small.json
grep -q 'Q8_0 weights are decoded' small.json || fail "no warning for decoded weights"
[ "$(field small.json quantization_level)" = F16 ] || fail "quantized weights become $(field small.json quantization_level)"
on 1 quantize small.gguf gguf -q F16 --allow-requantize -n small-f16 > /dev/null
on 1 convert small-hf gguf -n small-back > /dev/null
same_content small-f16.gguf small-back.gguf
on 1 convert small.gguf gguf -n small-plain > /dev/null
same small-f16.gguf small-plain.gguf
expect 9 convert small.gguf gguf -q Q4_K_M -n out2
grep -q 'CancelledError.*Q8_0 weights would be quantized again, to Q4_K_M' err.txt || { cat err.txt; fail "words"; }
on 2 convert small.gguf gguf -q Q4_K_M -n twice --force > /dev/null
on 1 quantize small.gguf gguf -q Q4_K_M --allow-requantize -n twice-quantize > /dev/null
same twice.gguf twice-quantize.gguf
# On a terminal it is a question.
if command -v script > /dev/null; then
  ask() { printf '%s\n' "$1" | script -qec "$LLMQ_BIN convert small.gguf gguf -q Q4_K_M -n asked" /dev/null > asked.txt; }
  code=0; ask n || code=$?
  [ $code = 9 ] && grep -q 'Go on? \[y/N\]' asked.txt && [ ! -e asked.gguf ] || { cat asked.txt; fail "no was $code"; }
  ask y || { cat asked.txt; fail "yes was refused"; }
  same asked.gguf twice.gguf
fi

# An INT8 directory: codes times scales.
on 1 analyze "$model" "${few[@]}" -o pebble.imatrix > /dev/null
on 1 quantize "$model" smoothquant --imatrix pebble.imatrix -n w8a8 > /dev/null
on 2 convert w8a8 gguf -q F32 -n w8a8-f32 > /dev/null
on 1 --format json quality report w8a8-f32.gguf w8a8 --calibration-samples 4 > report.json
awk -v kld="$(field report.json kld_mean)" 'BEGIN { exit !(kld < 0.002) }' || fail "decoded codes are another model: $(field report.json kld_mean)"
refuse 9 convert w8a8 gguf -q Q8_0 -n out2

# Stopped and killed in the middle, gone on with on other ranks.
make_large_model large
on 1 convert large gguf -q F32 -n large > /dev/null
on 2 convert large.gguf hf -n reference-hf > /dev/null
hit=0
for how in USR1:0:2 KILL:2:3 KILL:0:1 USR1:2:4; do
  IFS=: read -r signal ranks again <<< "$how"
  rm -rf killed-hf killed-hf.partial cp
  start_run "$ranks" convert large.gguf hf -n killed-hf --checkpoint-dir cp
  for _ in $(seq 6000); do
    [ "$(cat cp/*/journal.* 2> /dev/null | wc -c)" -ge $((3 * 24)) ] && break
    kill -0 "$launcher" 2> /dev/null || break
    sleep 0.001
  done
  kill "-$signal" "$launcher" 2> /dev/null || true
  code=0; wait "$launcher" || code=$?
  for _ in $(seq 500); do pgrep -f "llm-quantize.*-n killed-hf" > /dev/null || break; sleep 0.02; done
  if [ -d killed-hf ]; then same_directory killed-hf reference-hf; continue; fi
  [ -d killed-hf.partial ] && [ -d cp ] || fail "$how left nothing to go on with"
  [ "$signal" != USR1 ] || [ $code = 75 ] || fail "$how ended with $code"
  on "$again" --format json convert large.gguf hf -n killed-hf --checkpoint-dir cp --resume cp > resumed.json
  [ "$(field resumed.json resumed)" -gt 0 ] || fail "$how: no unit was taken over"
  same_directory killed-hf reference-hf
  [ ! -e killed-hf.partial ] && [ ! -e cp ] || fail "$how: something was left"
  hit=$((hit + 1))
done
[ $hit -ge 1 ] || fail "none of 4 ends came in time"
rm -r large large.gguf reference-hf killed-hf

# Places: replaced only by --force, only what convert has made, never an input.
expect 2 convert pebble-BF16.gguf hf
grep -q 'output exists already' err.txt || fail "words"
on 1 convert pebble-BF16.gguf hf --force > /dev/null
same_directory pebble-BF16-hf np2-hf
mkdir mine-hf && echo precious > mine-hf/notes.txt
refuse 2 convert pebble-BF16.gguf hf -n mine-hf --force
[ "$(cat mine-hf/notes.txt)" = precious ] || fail "a stranger's directory was touched"
cp -r "$model" original-hf
refuse 2 convert pebble-BF16.gguf hf -n original-hf --force
mkdir -p outer/in && cp pebble-BF16.gguf outer/in
refuse 2 convert outer/in/pebble-BF16.gguf hf -n outer --force
grep -q 'output is or holds the input' err.txt || fail "words"
refuse 2 convert pebble-BF16.gguf gguf -q BF16 -n pebble-BF16 --force
grep -q 'output is the same file as the input' err.txt || fail "words"
refuse 2 convert pebble-BF16.gguf hf -n a/b
refuse 2 convert pebble-BF16.gguf hf -q Q8_0 -n out2
refuse 2 convert "$model" gguf -q dynamic
refuse 2 convert "$model" gguf -q Q9
refuse 2 convert "$model" pdf
refuse 8 convert "$model" awq
refuse 8 convert "$model" hf -n out2
grep -q 'Supported: a Hugging Face or smoothquant directory to gguf, a GGUF file to gguf or hf' err.txt || { cat err.txt; fail "words"; }
refuse 3 convert missing gguf
refuse 10 convert "$model" gguf -q IQ1_S
head -c 3000000 pebble-BF16.gguf > cut.gguf
refuse 6 convert cut.gguf hf -n out2

# A weight that is no number is named, both ways, and nothing stays.
copy_model damaged
at=$(($(header_bytes damaged/model.safetensors) + 2 * 5000))
put_bf16 damaged/model.safetensors $at '\xc0\x7f'
refuse 6 convert damaged gguf -n out2
grep -q 'nan is not a finite weight' err.txt || { cat err.txt; fail "the weight is not named"; }
size=$(stat -c %s again.gguf)
put_bf16 again.gguf $((size - 1000)) '\xc0\x7f'
refuse 6 convert again.gguf hf -n out2
grep -q 'tensor blk.3.*(model.layers.3.*), row .*: nan is not a finite weight' err.txt || { cat err.txt; fail "the weight is not named"; }

# A full disk: typed, and what is there can be gone on with.
(ulimit -f 2000; "$LLMQ_BIN" --verbosity quiet convert pebble-BF16.gguf hf -n full-hf --checkpoint-dir cp2 2> full.txt) && fail "a full disk was not noticed"
grep -q 'GeneralError' full.txt || { cat full.txt; fail "no typed error for a full disk"; }
[ ! -e full-hf ] || fail "half a directory was published"
on 2 convert pebble-BF16.gguf hf -n full-hf --checkpoint-dir cp2 --resume cp2 > /dev/null
same_directory full-hf pebble-BF16-hf
echo "$conditions conditions, $hit ends resumed"
