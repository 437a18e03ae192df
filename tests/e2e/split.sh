#!/usr/bin/env bash
# Models in several GGUF files: the content of the file alone, the same bytes on any number of ranks and after every kind of
# end, opened by every command as one model, and never half a set for a whole one.
. "$(dirname "$0")/lib.sh"
# The hash of a set by names and bytes; of the stem's files.
set_sha() { for file in "$1"-?????-of-?????.gguf; do echo "${file#"$1"} $(sha "$file")"; done | sha256sum; }
same_set() { [ "$(set_sha "$1")" = "$(set_sha "$2")" ] || fail "$1 and $2 differ"; }
field() { sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -n 1; }
content() { python3 "$LLMQ_TEST_DATA/../e2e/gguf_content.py" "$1"; }

# refuse CODE ARGS...: as expect, on one rank, for errors that are found before ranks part.
refuse() {
  local wanted=$1 code=0 before; shift
  before=$(outputs)
  on 1 "$@" > out.txt 2> err.txt || code=$?
  [ $code = "$wanted" ] && grep -q 'Error' err.txt && [ ! -s out.txt ] || { cat err.txt; fail "$* gave $code, not $wanted"; }
  [ "$(outputs)" = "$before" ] || fail "$* left something behind"
  conditions=$((conditions + 1))
}

# The plan is what is written, to the byte and by name.
q=(quantize "$model" gguf -q Q4_K_M --split-max-size 700K)
on 1 --format json "${q[@]}" -n planned --dry-run > plan.json
[ -z "$(outputs)" ] || fail "a dry run wrote something"
on 1 --format json "${q[@]}" -n first > first.json
[ "$(field first.json output_path)" = ./first-00001-of-00005.gguf ] || fail "output_path is $(field first.json output_path)"
[ "$(grep -c '"path": "./first-0000.-of-00005.gguf"' first.json)" = 5 ] || fail "the files are not listed"
[ "$(field plan.json file_size)" = "$(cat first-*.gguf | wc -c)" ] || fail "planned $(field plan.json file_size), written $(cat first-*.gguf | wc -c)"
while read -r path bytes; do
  [ "$(stat -c %s "${path/planned/first}")" = "$bytes" ] || fail "$path was planned with $bytes bytes"
  [ "$bytes" -le 700000 ] || fail "$path is too large"
done < <(sed -n 's/.*"path": "\(.*\)",/\1/p; s/.*"bytes": \([0-9]*\),/\1/p' <(sed -n '/"shards"/,/^  \]/p' plan.json) | paste - -)

# The content of the file alone; one is enough where it fits.
on 1 quantize "$model" gguf -q Q4_K_M -n joined > /dev/null
content joined.gguf > joined.txt
content first-00001-of-00005.gguf | cmp - joined.txt || fail "the set holds something else than the file"
on 1 quantize "$model" gguf -q Q4_K_M -n roomy --split-max-size 1GiB > /dev/null
same roomy.gguf joined.gguf
# Sizes that leave no room for a second tensor, or for any beside the metadata.
on 1 quantize "$model" gguf -q Q4_K_M -n tiny --split-max-size 1 > /dev/null
[ "$(find . -name 'tiny-*-of-00040.gguf' | wc -l)" = 40 ] || fail "not a file a tensor"
content tiny-00001-of-00040.gguf | cmp - joined.txt || fail "a file a tensor is another model"

# The same bytes, whoever makes them.
for ranks in 2 3 4; do
  on $ranks --threads $((ranks % 2 + 1)) "${q[@]}" -n np$ranks > /dev/null
  same_set first np$ranks
done
on 3 "${q[@]}" -n gathered --assemble gather > /dev/null
same_set first gathered

# Every command opens the set by its first file.
set="first-00001-of-00005.gguf"
on 1 --format json info $set > info.json
[ "$(field info.json parameter_count),$(field info.json size_bytes),$(field info.json files)" = "4196608,$(cat first-*.gguf | wc -c),5" ] || { cat info.json; fail "info"; }
judge=(--calibration-data "$text" --calibration-samples 6 --ctx 64)
on 2 --format json quality report "$model" $set "${judge[@]}" > split.json
on 1 --format json quality report "$model" joined.gguf "${judge[@]}" > joined.json
[ "$(grep '"kld_mean"' split.json)" = "$(grep '"kld_mean"' joined.json)" ] || fail "the set is judged otherwise than the file"
on 1 --format json quality report joined.gguf $set "${judge[@]}" > none.json
[ "$(field none.json kld_max)" = 0.0 ] || fail "the set diverges from the file"
on 2 quantize $set gguf -q Q8_0 --allow-requantize -n from-set > /dev/null
on 1 quantize joined.gguf gguf -q Q8_0 --allow-requantize -n from-file > /dev/null
content from-set.gguf | cmp - <(content from-file.gguf) || fail "requantized from the set"
on 1 quantize $set gguf -q Q8_0 --allow-requantize -o by-name > /dev/null
[ -s by-name/first-Q8_0.gguf ] || fail "a set gives its stem to what is made of it"
on 1 --format json "${q[@]}" -n judged --coherence-check --quality-report > judged.json
[ -s judged.qreport ] && [ "$(field judged.json coherence_score)" != null ] || fail "a set was not judged"
on 1 analyze $set "${few[@]}" -o set.imatrix > /dev/null
on 1 analyze joined.gguf "${few[@]}" -o file.imatrix > /dev/null
[ "$("$LLMQ_BIN" info set.imatrix | grep 'content')" = "$("$LLMQ_BIN" info file.imatrix | grep 'content')" ] || fail "the set analyzes otherwise"
# A budget of bytes holds over all files.
on 1 --format json quantize "$model" gguf -q dynamic --target-size 2.4MB --imatrix set.imatrix --calibration-data "$text" --split-max-size 500K -n dyn --atlas-rows 8 > dyn.json
[ "$(cat dyn-*.gguf | wc -c)" -le 2400000 ] && [ "$(field dyn.json file_size)" = "$(cat dyn-*.gguf | wc -c)" ] || fail "the budget"
# Protected weights are found in whatever file they are.
on 1 analyze "$model" --identify-super-weights "${few[@]}" -o super.imatrix > /dev/null
protect=(quantize "$model" gguf -q Q4_K_M --imatrix super.imatrix --protect-super-weights)
on 2 --format json "${protect[@]}" -n guarded --split-max-size 700K > guarded.json
on 1 --format json "${protect[@]}" -n guard > guard.json
[ "$(field guarded.json largest_relative_error)" = "$(field guard.json largest_relative_error)" ] || fail "protected weights"
content guarded-00001-of-*.gguf | cmp - <(content guard.gguf) || fail "a protected set"

# Stopped and killed in the middle, gone on with on other ranks.
make_large_model large
big=(quantize large gguf -q Q4_K_M --split-max-size 6M)
on 2 "${big[@]}" -n reference > /dev/null
hit=0
for how in USR1:2:1 KILL:2:3 KILL:0:4 KILL:3:1; do
  IFS=: read -r signal ranks again <<< "$how"
  rm -rf out-*.gguf* cp
  start_run "$ranks" "${big[@]}" -n out --checkpoint-dir cp
  for _ in $(seq 6000); do
    [ "$(cat cp/*/journal.* 2> /dev/null | wc -c)" -ge $((6 * 24)) ] && break
    kill -0 "$launcher" 2> /dev/null || break
    sleep 0.002
  done
  if [ "$signal$ranks" = KILL2 ]; then kill -KILL "$(ranks_of "$launcher" | tail -n 1)" 2> /dev/null || true
  else kill "-$signal" "$launcher" 2> /dev/null || true; fi
  wait "$launcher" || true
  for _ in $(seq 500); do pgrep -f "llm-quantize.*-n out" > /dev/null || break; sleep 0.02; done
  if compgen -G 'out-00001-of-?????.gguf' > /dev/null; then same_set out reference; continue; fi
  [ -d cp ] && compgen -G 'out-00001-of-?????.gguf.partial' > /dev/null || fail "$how left nothing to go on with"
  if [ "$signal$ranks" = KILL3 ]; then   # as if the blow had come while names were given
    last=$(printf '%s\n' out-*.partial | tail -n 1)
    mv "$last" "${last%.partial}"
    refuse 2 "${big[@]}" -n out
    grep -q "${last%.partial}: output exists already" err.txt || { cat err.txt; fail "words"; }
  fi
  on "$again" --format json "${big[@]}" -n out --checkpoint-dir cp --resume cp > resumed.json
  [ "$signal$ranks" = KILL3 ] || [ "$(field resumed.json resumed)" -gt 0 ] || fail "$how: no unit was taken over"
  same_set out reference
  [ ! -e cp ] && ! compgen -G '*.partial' > /dev/null || fail "$how: something was left"
  hit=$((hit + 1))
done
[ $hit -ge 2 ] || fail "only $hit of 4 ends came in time"

# An output is the whole set: refused while any file of the stem is there, and replaced as a whole.
expect 2 "${q[@]}" -n first
grep -q 'output exists already' err.txt || fail "words"
refuse 2 quantize "$model" gguf -q Q8_0 --split-max-size 2M -n first
on 1 quantize "$model" gguf -q Q8_0 --split-max-size 2M -n np4 --force > /dev/null
[ "$(printf '%s ' np4-*)" = 'np4-00001-of-00003.gguf np4-00002-of-00003.gguf np4-00003-of-00003.gguf ' ] || fail "an earlier set was left: $(printf '%s ' np4-*)"
on 1 quantize "$model" gguf -q Q8_0 --split-max-size 1G -n np4 --force > /dev/null
[ "$(printf '%s ' np4*)" = 'np4.gguf ' ] || fail "a set was left beside the file that replaces it"
on 1 "${q[@]}" -n np4 --force > /dev/null
same_set first np4
[ ! -e np4.gguf ] || fail "the file was left beside the set that replaces it"
refuse 2 quantize $set gguf -q Q8_0 --allow-requantize --split-max-size 700K -n first --force
grep -q 'output is the same file as the input' err.txt || { cat err.txt; fail "words"; }
refuse 2 quantize $set gguf -q Q8_0 --allow-requantize -n first-00003-of-00005 --force
for size in 0 -1 x 1X 5GG ''; do refuse 2 quantize "$model" gguf -q Q8_0 "--split-max-size=$size" -n out2; done
refuse 2 quantize "$model" smoothquant --split-max-size 1G -n out2

# What is no set: typed, and the file named.
damaged() { rm -f bad-*; for file in first-*.gguf; do cp "$file" "bad${file#first}"; done; }
bad="bad-00001-of-00005.gguf"
expect 2 info first-00003-of-00005.gguf
grep -q 'Give the first of them: .*first-00001-of-00005.gguf' err.txt || { cat err.txt; fail "the first is not named"; }
damaged; rm bad-00004-of-00005.gguf
expect 3 info $bad
grep -q 'bad-00004-of-00005.gguf: no such file' err.txt || { cat err.txt; fail "the missing file is not named"; }
damaged; cp bad-00003-of-00005.gguf bad-00004-of-00005.gguf
refuse 6 info $bad
grep -q 'bad-00004-of-00005.gguf' err.txt || { cat err.txt; fail "the wrong file is not named"; }
damaged; truncate -s -100 bad-00005-of-00005.gguf
refuse 6 quantize $bad gguf -q Q8_0 --allow-requantize -n out2
grep -q 'bad-00005-of-00005.gguf' err.txt || { cat err.txt; fail "the truncated file is not named"; }
damaged; mv $bad renamed.gguf
refuse 6 info renamed.gguf
damaged; cp joined.gguf bad-00002-of-00005.gguf
refuse 6 quality report "$model" $bad
(ulimit -f 1000; "$LLMQ_BIN" --verbosity quiet quantize "$model" gguf -q F32 --split-max-size 3M -n full --no-checkpoints 2> full.txt) && fail "a full disk was not noticed"
grep -q 'GeneralError' full.txt || { cat full.txt; fail "no typed error for a full disk"; }
! compgen -G 'full*.gguf*' > /dev/null || fail "a full disk left files"

# Steps of a job: split, judged by the first file, not made again, and noticed when a later file changes.
cat > job.json << JSON
{"version": 1, "name": "sets", "steps": [
  {"id": "make", "type": "quantize", "model": "$model", "quant-level": "Q4_K_M", "split-max-size": "700K", "output-name": "by-job"},
  {"id": "judge", "type": "quality", "original": "$model", "candidates": ["\${steps.make.output}"], "calibration-samples": 4}]}
JSON
on 2 --format json run job.json > job.txt
same_set by-job first
grep -q '"output": "./by-job-00001-of-00005.gguf"' job.txt || { cat job.txt; fail "the step's output is not the first file"; }
on 1 run job.json > job.txt
[ "$(grep -c 'skipped' job.txt)" = 2 ] || { cat job.txt; fail "a job that is up to date ran again"; }
printf x >> by-job-00005-of-00005.gguf
on 1 run job.json > job.txt
grep -q '^make *quantize *run ' job.txt || { cat job.txt; fail "a changed file of a set was not noticed"; }
same_set by-job first
rm by-job-00002-of-00005.gguf
on 1 run job.json > job.txt
same_set by-job first
echo "$conditions conditions, $hit ends resumed"
