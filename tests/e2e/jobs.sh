#!/usr/bin/env bash
# `run`: a job gives the bytes of the commands it stands for, on any number of ranks; finished steps are skipped, and
# only what a change reaches runs again; killed and interrupted jobs continue; every error has its code and its place.
# shellcheck disable=SC2016  # ${m} is the job file's to expand
. "$(dirname "$0")/lib.sh"
jobs=$(dirname "$0")/../../jobs
cp "$jobs"/*.json .
# The sweep with small samples: steps, in order.
steps="importance q4_0 q4_k_s q4_k_m q5_k_m q6_k q8_0 compare"
sweep=(run sweep.json --set "model=$model" --set samples=20 --set chunks=8)

# statuses FILE: "importance=run q4_0=skipped ..." of a JSON result.
statuses() {
  grep -A 2 '^      "id":' "$1" | sed -n 's/^      "id": "\(.*\)",/\1/p; s/^      "status": "\(.*\)",/=\1/p' | paste -sd ' ' | sed 's/ =/=/g'
}
# ran FILE: the steps that ran
ran() { statuses "$1" | tr ' ' '\n' | grep '=\(run\|resumed\)$' | cut -d= -f1 | paste -sd ' '; }
expect_ran() { [ "$(ran "$1")" = "$2" ] || { cat "$1"; fail "ran \"$(ran "$1")\", not \"$2\""; }; }

# --- the same bytes as the commands, on 1 and 2 ranks
on 1 --threads 1 analyze "$model" --calibration-samples 20 -o direct.imatrix > /dev/null
for level in Q4_0 Q4_K_S Q4_K_M Q5_K_M Q6_K Q8_0; do
  on 1 quantize "$model" gguf -q $level --imatrix direct.imatrix -n "direct-$level" > /dev/null
done
on 1 quality compare "$model" direct-Q4_0.gguf direct-Q8_0.gguf --chunks 8 --format csv | cut -d, -f2- > direct.csv
for ranks in 1 2; do
  on $ranks --threads 1 --format json "${sweep[@]}" --set out=out$ranks --checkpoint-dir cp$ranks > first$ranks.json
  expect_ran first$ranks.json "$steps"
  same direct.imatrix out$ranks/model.imatrix
  for level in Q4_0 Q4_K_S Q4_K_M Q5_K_M Q6_K Q8_0; do same direct-$level.gguf out$ranks/model-$level.gguf; done
  cut -d, -f2- out$ranks/sweep.csv | sed -n '1,2p;7p' | cmp -s - direct.csv || fail "the comparison on $ranks ranks has other figures"
done
[ "$(sed 's/out2/out1/' out2/sweep.csv)" = "$(cat out1/sweep.csv)" ] || fail "the comparison depends on ranks"
for key in job steps warnings; do grep -q "^  \"$key\":" first1.json || fail "no $key in the result"; done
grep -q '"method": "activation_magnitude"' first1.json && grep -q '"quantization_level": "Q6_K"' first1.json &&
  grep -q '"kld_mean"' first1.json || fail "the commands' own results are not in the job's"

# --- a second run skips everything and runs no model; on other ranks too
LD_DEBUG=files "$LLMQ_BIN" --verbosity quiet --format json "${sweep[@]}" --set out=out1 --checkpoint-dir cp1 > again.json 2> opened.txt
expect_ran again.json ""
! grep -q libtorch opened.txt || fail "a run with nothing to do loads libtorch"
grep -q '"kld_mean"' again.json || fail "a skipped step lost its result"
on 2 --format json "${sweep[@]}" --set out=out1 --checkpoint-dir cp1 > again.json; expect_ran again.json ""
on 1 "${sweep[@]}" --set out=out1 --checkpoint-dir cp1 > table.txt
[ "$(grep -c 'skipped' table.txt)" = 8 ] && [ "$(grep -c 'model-.*gguf' table.txt)" = 12 ] || { cat table.txt; fail "the table"; }

# --- changes: an output, an option, an input; downstream only where contents changed
again() { local ranks=$1; shift; on "$ranks" --threads 1 --format json "${sweep[@]}" --set out=out1 --checkpoint-dir cp1 "$@" > again.json; }
cp out1/sweep.csv kept.csv
printf x >> out1/model-Q6_K.gguf;  again 2; expect_ran again.json "q6_k"; same direct-Q6_K.gguf out1/model-Q6_K.gguf
rm out1/model-Q4_0.gguf;           again 1; expect_ran again.json "q4_0"; same direct-Q4_0.gguf out1/model-Q4_0.gguf
touch out1/model-Q8_0.gguf;        again 1; expect_ran again.json ""
on 1 "${sweep[@]}" --set out=out1 --checkpoint-dir cp1 --set chunks=9 --dry-run > plan.txt
grep -q '^compare .*would run *chunks changed from 8 to 9' plan.txt && [ "$(grep -c 'up to date' plan.txt)" = 7 ] ||
  { cat plan.txt; fail "the plan of a changed option"; }
cmp -s out1/sweep.csv kept.csv || fail "a dry run wrote something"
again 1 --set chunks=9; expect_ran again.json "compare"
again 1 --set samples=21; expect_ran again.json "$steps"
copy_model other; put_bf16 other/model.safetensors 400000 '\001\077'
again 2 --set samples=21 --set model=other; expect_ran again.json "$steps"
expect 2 run sweep.json --set "model=$model" --set out=out2 --checkpoint-dir new   # files that no run of this job has written

# --- killed in the middle and run again
make_large_model large
cat > kill.json <<'END'
{"version": 1, "name": "kill", "variables": {"out": "out", "text": ""},
 "defaults": {"quantize": {"model": "large", "imatrix": "${steps.importance.output}", "output-dir": "${out}"}},
 "steps": [
   {"id": "importance", "type": "analyze", "model": "large", "calibration-data": "${text}", "calibration-samples": 20,
    "ctx": 24, "output": "${out}/model.imatrix"},
   {"id": "q4_0", "type": "quantize", "quant-level": "Q4_0", "output-name": "model-Q4_0"},
   {"id": "q4_k_m", "type": "quantize", "quant-level": "Q4_K_M", "output-name": "model-Q4_K_M"},
   {"id": "compare", "type": "quality", "original": "large", "text": "${text}", "ctx": 24, "chunks": 2,
    "candidates": ["${steps.q4_0.output}", "${steps.q4_k_m.output}"], "output": "${out}/sweep.csv"}]}
END
job=(run kill.json --set "text=$text")
on 2 --threads 1 "${job[@]}" --set out=whole --checkpoint-dir cp-whole > /dev/null
points=0
kill_at() {   # kill_at NAME PATTERN SIGNAL CODE: struck when a file of the pattern is there
  start_run 2 "${job[@]}" --set out="$1" --checkpoint-dir "cp-$1" --checkpoint-interval 0
  wait_for "$2"
  if [ "$3" = KILL ]; then ranks_of "$launcher" | xargs -r kill -KILL; else kill "-$3" "$launcher"; fi 2> /dev/null || true
  local code=0; wait "$launcher" || code=$?
  for _ in $(seq 500); do pgrep -f "llm-quantize.*cp-$1" > /dev/null || break; sleep 0.02; done
  [ $code = 0 ] && return 0
  [ $code = "$4" ] || fail "$1 ended with $code, not $4"
  points=$((points + 1))
  on "${5:-1}" --threads 1 --format json "${job[@]}" --set out="$1" --checkpoint-dir "cp-$1" > "$1.json"
  for file in model.imatrix model-Q4_0.gguf model-Q4_K_M.gguf; do same "whole/$file" "$1/$file"; done
  [ "$(sed "s/^$1/whole/" "$1/sweep.csv")" = "$(cat whole/sweep.csv)" ] || fail "$1: another comparison"
  [ -z "$(find "$1" -name '*.partial')" ] || fail "$1 left an unfinished file"
}
kill_at early "cp-early/*/generation-000002.h5" KILL 137 1
grep -q '"status": "resumed"' early.json || { statuses early.json; fail "analyze did not resume"; }
kill_at middle "middle/model-Q4_K_M.gguf.partial" KILL 137 3
kill_at asked "asked/model-Q4_K_M.gguf.partial" USR1 75 1
[ $points -gt 1 ] || fail "no run was hit"
case $(statuses middle.json) in "importance=skipped q4_0=skipped q4_k_m="[r]*) ;; *) statuses middle.json; fail "finished steps ran again" ;; esac

# A checkpoint that is damaged costs its work and not the run.
start_run 2 "${job[@]}" --set out=hurt --checkpoint-dir cp-hurt --checkpoint-interval 0
wait_for "cp-hurt/*/generation-000002.h5"; ranks_of "$launcher" | xargs -r kill -KILL; wait "$launcher" || true
for generation in cp-hurt/*/generation-*.h5; do head -c 3000 "$generation" > short.h5; cat short.h5 > "$generation"; done
on 1 --threads 1 --format json "${job[@]}" --set out=hurt --checkpoint-dir cp-hurt > hurt.json
grep -q 'importance starts over without its checkpoint' hurt.json || { cat hurt.json; fail "no word about the checkpoint"; }
same whole/model.imatrix hurt/model.imatrix

# A second run of the same job at the same time.
start_run 0 "${job[@]}" --set out=locked --checkpoint-dir cp-locked
wait_for "cp-locked/kill.state.json"; kill -STOP "$launcher"
expect 7 "${job[@]}" --set out=locked --checkpoint-dir cp-locked
kill -KILL "$launcher"; wait "$launcher" || true

# --- budgets: an error table for three profiles and three files, one comparison
"$LLMQ_MAKE_MODEL" two "$model" 2 256 512   # of two layers: measuring single changes takes as long as there are layers
on 2 run dynamic-budgets.json --set model=two --set samples=20 --set chunks=8 --set out=budgets > /dev/null
[ "$(wc -l < budgets/budgets.csv)" = 4 ] || { cat budgets/budgets.csv; fail "not three budgets compared"; }
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "kld_mean") k = i }
  NR > 1 { if (NR > 2 && !($k < last)) exit 1; last = $k }' budgets/budgets.csv || { cat budgets/budgets.csv; fail "more bits, more loss"; }

# --- errors: code, place, and nothing run
at() {   # at CODE POINTER ARGS...: the pointer is in the message
  local code=$1 pointer=$2; shift 2
  expect "$code" "$@"
  grep -q ": $pointer: " err.txt || { cat err.txt; fail "the message does not say $pointer"; }
}
write_job() { printf '{"version": 1, "name": "t", "variables": {"m": "%s"}, "steps": [%s]}\n' "$model" "$1" > t.json; }
expect 2 run nowhere.json
expect 2 run .
expect 2 run sweep.json --set model
at 2 /variables run sweep.json --set modell=x
grep -q 'Did you mean "model"' err.txt || fail "no suggestion"
echo '{"version": 1,' > t.json;                       expect 2 run t.json
write_job '';                                         at 2 /steps run t.json
write_job '{"id": "a", "type": "analyse"}';           at 2 /steps/0/type run t.json
write_job '{"id": "a", "type": "analyze", "model": "${m}", "ctx": "many"}'; at 2 /steps/0 run t.json
write_job '{"id": "a", "type": "analyze", "model": "${m}", "needs": ["a"]}'; at 2 /steps/0 run t.json
write_job '{"id": "a", "type": "analyze", "model": "nowhere"}';              at 3 /steps/0 run t.json
write_job '{"id": "a", "type": "quantize", "model": "${m}", "quant-level": "IQ1_S"}'; at 10 /steps/0 run t.json
write_job '{"id": "a", "type": "analyze", "model": "${m}"}, {"id": "b", "type": "quantize", "model": "${m}", "quant-level": "Q8_0", "imatrix": "nowhere"}'
at 10 /steps/1 run t.json
write_job '{"id": "a", "type": "analyze", "model": "${m}", "calibration-data": "nowhere.txt"}'; at 15 /steps/0 run t.json
write_job '{"id": "a", "type": "quality", "original": "${m}", "candidates": "${m}", "output": "x.pdf"}'; at 2 /steps/0 run t.json
write_job '{"id": "a", "type": "quality", "original": "${m}", "candidates": ["${m}", "${m}"], "output": "x.pdf"}'; at 2 /steps/0 run t.json
write_job '{"id": "a", "type": "analyze", "model": "${m}", "output": "/proc/nowhere/x"}'; at 2 /steps/0 run t.json
write_job '{"id": "a", "type": "quality", "original": "${m}", "candidates": "'"$LLMQ_TEST_DATA"'/stories260k"}'; at 6 /steps/0 run t.json --checkpoint-dir cp-t

# A failing step: what does not need it has run, and is kept.
printf 'too short' > short.txt
write_job '{"id": "bad", "type": "analyze", "model": "${m}", "calibration-data": "short.txt", "output": "bad.imatrix"},
  {"id": "after", "type": "quantize", "model": "${m}", "quant-level": "Q8_0", "imatrix": "${steps.bad.output}"},
  {"id": "free", "type": "quantize", "model": "${m}", "quant-level": "Q8_0", "output-name": "free"}'
for ranks in 1 2; do
  code=0; on $ranks run t.json --checkpoint-dir cp-bad$ranks > out.txt 2> err.txt || code=$?
  [ $code = 15 ] && [ ! -s out.txt ] || { cat err.txt; fail "a failing step gave $code"; }
  grep -q 'step "bad" (analyze)' err.txt && grep -q 'not run because of it: after' err.txt || { cat err.txt; fail "the step is not named"; }
  [ -f free.gguf ] && [ ! -e pebble-Q8_0.gguf ] || fail "the wrong steps ran"
  rm free.gguf
done
"$LLMQ_BIN" run --help | grep Example > /dev/null || fail "no examples"
echo "jobs hold; $points runs were hit and continued; $conditions conditions have their code"
