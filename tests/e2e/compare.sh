#!/usr/bin/env bash
# `quality compare`: each candidate has the figures of its own `quality report`, on any number of ranks and whatever the
# memory; the table, the CSV and the JSON say the same; warnings, codes.
. "$(dirname "$0")/lib.sh"

levels="Q4_0 Q8_0 Q4_K_S"
candidates=()
for level in $levels; do
  on 1 quantize "$model" gguf -q "$level" -n "$level" > /dev/null
  candidates+=("$level.gguf")
done
sample=(--text "$text" --ctx 64 --chunks 10)
figures="perplexity_original perplexity_quantized perplexity_delta_pct effective_bpw compression_ratio kld_mean
         kld_mean_error kld_median kld_p99 kld_p999 kld_max same_top_pct delta_p_rms_pct chunks scores file_size"

# value KEY FILE: of the N-th occurrence (default 1)
value() { grep -o "\"$1\": [^,]*" "$2" | sed -n "${3:-1}p" | sed 's/[ }]*$//'; }
compare() { local ranks=$1 file=$2; shift 2; on "$ranks" --format json quality compare "$model" "${candidates[@]}" "${sample[@]}" "$@" > "$file"; }
without_times() { grep -v 'timestamp\|duration_seconds\|cpu_seconds' "$1"; }

compare 1 one.json -o written.qreport
position=0
for level in $levels; do
  position=$((position + 1))
  on 1 --format json quality report "$model" "$level.gguf" "${sample[@]}" > report.json
  for key in $figures; do
    [ -n "$(value "$key" report.json)" ] || fail "the report has no $key"
    [ "$(value "$key" one.json $position)" = "$(value "$key" report.json)" ] || fail "$level: $key is not that of its report"
  done
done
for key in status original_model quantized_model timestamp warnings; do grep -q "\"$key\"" one.json || fail "no $key"; done
[ "$(without_times one.json)" = "$(without_times written.qreport)" ] || fail "the written comparison differs from the printed one"

# Ranks, threads and memory change no figure. Pebble needs 268 MB for the program and some for heads: with 300 MB not
# all candidates go together.
for ranks in 2 3; do
  compare $ranks ranks.json
  [ "$(without_times one.json)" = "$(without_times ranks.json)" ] || fail "$ranks ranks give other figures"
done
compare 1 threads.json --threads 2
[ "$(without_times one.json)" = "$(without_times threads.json)" ] || fail "two threads give other figures"
tight=
for megabytes in $(seq 270 2 340); do
  "$LLMQ_BIN" --format json --threads 1 --mem-per-rank "${megabytes}MB" quality compare "$model" "${candidates[@]}" "${sample[@]}" \
    > tight.json 2> tight.log || continue
  grep -q 'memory holds [12] of 3 candidates' tight.log && tight=$megabytes && break
done
[ -n "$tight" ] || fail "no memory limit made the candidates go in turns"
[ "$(without_times one.json)" = "$(without_times tight.json)" ] || fail "candidates in turns give other figures"

# The table: one row a candidate, in the order given. The CSV: a header and one row a candidate, the JSON's numbers.
on 1 quality compare "$model" "${candidates[@]}" "${sample[@]}" > table.txt
[ "$(grep -o '^Q[A-Z0-9_]*' table.txt | tr '\n' ' ')" = "Q4_0 Q8_0 Q4_K_S " ] || { cat table.txt; fail "rows, or their order"; }
grep -qx 'candidates: \*\.gguf' table.txt || { cat table.txt; fail "nothing said about the rest of the names"; }
[ "$(wc -L < table.txt)" -le 100 ] || fail "the table is wider than 100 columns"
on 1 quality compare "$model" "${candidates[@]}" "${sample[@]}" --format csv -o written.csv > printed.csv
cmp -s printed.csv written.csv || fail "the written CSV differs from the printed one"
[ "$(wc -l < printed.csv)" = 4 ] || fail "the CSV has not four lines"
header=$(head -n 1 printed.csv)
case $header in quantized_model,file_size,*) ;; *) fail "CSV header: $header" ;; esac
[ "$(awk -F, '{print NF}' printed.csv | sort -u | wc -l)" = 1 ] || fail "CSV rows of different lengths"
column=$(tr ',' '\n' <<< "$header" | grep -n '^kld_mean$' | cut -d: -f1)
for position in 1 2 3; do
  [ "\"kld_mean\": $(sed -n "$((position + 1))p" printed.csv | cut -d, -f"$column")" = "$(value kld_mean one.json $position)" ] ||
    fail "CSV and JSON differ in row $position"
done
cp Q8_0.gguf 'odd, "name".gguf'
on 1 --format csv quality compare "$model" 'odd, "name".gguf' --metrics size > odd.csv
grep -q '^"odd, ""name"".gguf",' odd.csv || { cat odd.csv; fail "CSV quoting"; }
rm 'odd, "name".gguf'

# Chosen metrics only; without perplexity and kld no model runs.
LD_DEBUG=files "$LLMQ_BIN" --verbosity quiet quality compare "$model" "${candidates[@]}" --metrics size,bpw --format csv \
  > sizes.csv 2> opened.txt
[ "$(head -n 1 sizes.csv)" = quantized_model,file_size,effective_bpw,compression_ratio ] || fail "columns of size,bpw"
! grep -q libtorch opened.txt || fail "sizes need no model run"
compare 1 kld.json --metrics kld
grep -q kld_p999 kld.json && ! grep -q perplexity kld.json || fail "--metrics kld"

# Above the threshold: a warning that names the file, and success.
LLM_QUANTIZE_QUALITY_THRESHOLD=0 compare 2 warned.json --metrics perplexity
grep -q 'Q4_0.gguf: Quantization quality degradation (.*) exceeds threshold (0%)' warned.json ||
  { cat warned.json; fail "no warning"; }

expect 2 quality compare "$model"
expect 2 quality compare "$model" "${candidates[@]}" --metrics perplexity,speed
expect 2 quality compare "$model" "${candidates[@]}" --text a --calibration-data b
expect 2 quality compare "$model" "${candidates[@]}" --chunks 3 --calibration-samples 3
expect 2 quality compare "$model" "${candidates[@]}" -o out.txt
expect 2 quality compare "$model" "${candidates[@]}" -o /proc/nowhere/out.json
expect 3 quality compare "$model" Q4_0.gguf nowhere.gguf
expect 6 quality compare "$model" "$LLMQ_TEST_DATA/stories260k"
expect 15 quality compare "$model" "${candidates[@]}" --text nowhere.txt
expect 5 --mem-per-rank 1MB quality compare "$model" "${candidates[@]}" "${sample[@]}"
for command in "info $model" "analyze $model" "quantize $model gguf -q Q8_0" "quality report $model Q4_0.gguf"; do
  read -ra words <<< "$command"
  code=0; on 1 --format csv "${words[@]}" > out.txt 2> err.txt || code=$?
  [ $code = 2 ] && [ ! -s out.txt ] || fail "$command takes --format csv ($code)"
done
"$LLMQ_BIN" quality compare --help | grep Example > /dev/null || fail "no examples"
echo "comparison holds; $conditions conditions have their code"
