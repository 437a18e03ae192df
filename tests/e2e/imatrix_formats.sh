#!/usr/bin/env bash
# Importance matrices in all three forms: the same bytes on any number of ranks, a level that needs one made from each,
# and merging: in any order, with and without a pass, and what is refused.
. "$(dirname "$0")/lib.sh"
some=(--calibration-data "$text" --calibration-samples 8 --ctx 64)
number() { grep -o "\"$2\": [0-9]*" "$1" | head -n 1 | grep -o '[0-9]*$'; }

# --- every form, on one and two ranks, and a level that needs importance
for form in hdf5 gguf dat; do
  on 1 --format json analyze "$model" "${some[@]}" --imatrix-format $form -o $form.imatrix > $form.json
  on 2 analyze "$model" "${some[@]}" --imatrix-format ${form^^} -o two-$form.imatrix > /dev/null
  same $form.imatrix two-$form.imatrix
  grep "\"imatrix_format\": \"$form\"" $form.json > /dev/null || fail "$form is not in the result"
  "$LLMQ_BIN" --format json info $form.imatrix > info.json
  [ "$(number info.json samples)" = 8 ] && [ "$(number info.json entries)" = 28 ] || { cat info.json; fail "info of $form"; }
  hash=$(grep -o '"content_hash": "[0-9a-f]*"' info.json)
  grep "$hash" $form.json > /dev/null || fail "$form: analyze and info name different contents"
  for ranks in 1 2; do
    on $ranks quantize "$model" gguf -q IQ2_XS --imatrix $form.imatrix -n $form-$ranks > /dev/null
  done
  same $form-1.gguf $form-2.gguf
done
# The others round sums (gguf) or means times calls (dat) to f32 before importance is: the last bit of some values differs.
# That may turn a few codes; else only the 16 digits of the hash in the head differ.
for form in gguf dat; do
  [ "$(stat -c %s hdf5-1.gguf)" = "$(stat -c %s $form-1.gguf)" ] || fail "the file by $form has another size"
  differing=$({ cmp -l hdf5-1.gguf $form-1.gguf || true; } | wc -l)
  echo "by $form: $differing bytes of $(stat -c %s hdf5-1.gguf) differ"
  [ "$differing" -lt 1000 ] || fail "$form gave other weights"
done
"$LLMQ_BIN" analyze "$model" "${some[@]}" -o a.imatrix --imatrix-format dat 2>&1 > /dev/null | grep 'Note: a dat file does not hold:.*token counts' > /dev/null ||
  fail "what is lost is not told"

# --- two halves of a text, in any order, with a pass or without
half=$(($(stat -c %s "$text") / 2))
head -c $half "$text" > first.txt; tail -c $half "$text" > second.txt
for part in first second; do
  on 1 analyze "$model" --calibration-data $part.txt --calibration-samples 4 --ctx 64 -o $part.imatrix > /dev/null
done
alone=(--calibration-samples 0)
on 1 --format json analyze "$model" "${alone[@]}" --merge first.imatrix second.imatrix -o merged.imatrix > merged.json
[ "$(number merged.json merged)" = 2 ] && [ "$(number merged.json total_samples)" = 8 ] && [ "$(number merged.json calibration_samples)" = 0 ] ||
  { cat merged.json; fail "figures of the merge"; }
"$LLMQ_BIN" info merged.imatrix | grep 'first.txt+second.txt' > /dev/null || fail "the data sets are not named"
for ranks in 1 2; do
  on $ranks analyze "$model" "${alone[@]}" --merge second.imatrix --merge first.imatrix -o turned.imatrix > /dev/null
  same merged.imatrix turned.imatrix
  on $ranks analyze "$model" --calibration-data first.txt --calibration-samples 4 --ctx 64 --merge second.imatrix -o joined.imatrix > /dev/null
  same merged.imatrix joined.imatrix
done
on 1 quantize "$model" gguf -q IQ2_XS --imatrix merged.imatrix -n by-merged > /dev/null
# A merge of one is another form of the same: what went through llama.cpp's forms has what they hold.
on 1 analyze "$model" "${alone[@]}" --merge hdf5.imatrix --imatrix-format gguf -o again.gguf > /dev/null
same gguf.imatrix again.gguf
on 1 analyze "$model" "${alone[@]}" --merge dat.imatrix --imatrix-format dat -o again.dat > /dev/null
same dat.imatrix again.dat
"$LLMQ_BIN" analyze "$model" "${alone[@]}" --merge first.imatrix dat.imatrix -o mixed.imatrix > /dev/null 2> err.txt
grep 'max |a| (missing in dat.imatrix)' err.txt > /dev/null || { cat err.txt; fail "what is left out is not told"; }

# --- as a step of a job
cat > job.json <<END
{"version": 1, "name": "merge", "steps": [{"id": "sum", "type": "analyze", "model": "$model", "calibration-samples": 0,
  "merge": ["second.imatrix", "first.imatrix"], "output": "by-job.imatrix"}]}
END
on 1 run job.json --checkpoint-dir jobs > /dev/null
same merged.imatrix by-job.imatrix

# --- columns and matrices without a say
entry() { printf '\1\0\0\0\23\0\0\0blk.0.attn_q.weight\1\0\0\0\0\1\0\0'; head -c 1024 /dev/zero | tr '\0' "$1"; }
entry '?' > dead.dat; truncate -s 900 dead.dat; truncate -s 1059 dead.dat   # the last 39 and a part are 0
"$LLMQ_BIN" quantize "$model" gguf -q Q4_0 --imatrix dead.dat -n dead > /dev/null 2> err.txt
grep 'columns that were 0 for every token.*blk.0.attn_q.weight (39)' err.txt > /dev/null || { cat err.txt; fail "dead columns are not told"; }
"$LLMQ_BIN" info dead.dat | grep 'dead columns .*39 in 1 tensors' > /dev/null || fail "dead columns are not in info"

# --- refused, on one and on two ranks
rm -f dead.gguf
expect 2 analyze "$model" --imatrix-format xml
expect 2 analyze "$model" "${alone[@]}"
expect 2 analyze "$model" "${alone[@]}" --merge first.imatrix --resume .
expect 2 analyze "$model" "${alone[@]}" --merge first.imatrix --calibration-data first.txt
expect 2 analyze "$model" "${alone[@]}" --merge first.imatrix -o first.imatrix
expect 2 analyze "$model" "${some[@]}" --merge first.imatrix second.imatrix -o second.imatrix
expect 3 analyze nowhere "${alone[@]}" --merge first.imatrix
expect 10 analyze "$model" "${some[@]}" --merge nowhere.imatrix
head -c 9000 first.imatrix > cut.bin
expect 10 analyze "$model" "${some[@]}" --merge first.imatrix cut.bin
expect 10 analyze "$model" "${alone[@]}" --merge "$LLMQ_TEST_DATA/vectors/imatrix/legacy.dat"
expect 10 analyze "$LLMQ_TEST_DATA/stories260k" "${alone[@]}" --merge first.imatrix
grep 'first.imatrix: ' err.txt > /dev/null || { cat err.txt; fail "the file is not named"; }
entry '?' | tr 0 7 > foreign.dat
expect 10 analyze "$model" "${some[@]}" --merge foreign.dat
grep 'foreign.dat: the model has no tensor of the name blk.7.attn_q.weight' err.txt > /dev/null || { cat err.txt; fail "the tensor is not named"; }
# Of the same shapes, but other weights: another model.
copy_model other; put_bf16 other/model.safetensors "$(header_bytes other/model.safetensors)" '\0\0'
on 1 analyze other --calibration-data first.txt --calibration-samples 4 --ctx 64 -o other.bin > /dev/null
expect 10 analyze "$model" "${alone[@]}" --merge first.imatrix other.bin
grep 'model of first.imatrix is sha256:.*, of other.bin sha256:' err.txt > /dev/null || { cat err.txt; fail "the models are not named"; }
expect 10 analyze "$model" "${some[@]}" --merge other.bin
[ -z "$(find . -name '.checkpoint')" ] || fail "something was left behind"
echo "three forms, one importance; $conditions refusals"
