#!/usr/bin/env bash
# Faults of disks and checkpoints: full, read-only, locked, foreign, half deleted, damaged. Typed errors, the contract's
# codes, nothing half-written, nothing of another run touched.
. "$(dirname "$0")/lib.sh"
make_large_model large

# start_interrupted COMMAND...: a run that commits to ./cp all the time
start_interrupted() { start_run 2 "$@" --checkpoint-dir cp --checkpoint-interval 0; }

# --- checkpoints (7)
expect 7 analyze "$model" "${few[@]}" --resume nowhere
expect 7 quantize "$model" gguf -q Q8_0 --resume nowhere
expect 7 analyze "$model" "${few[@]}" --checkpoint-dir /proc/nowhere
expect 7 analyze "$model" "${few[@]}" --checkpoint-dir "$LLMQ_BIN/below"

start_interrupted analyze large "${few[@]}" -o lost.imatrix
wait_for "cp/*/generation-000003.h5"
# Locked while the run lives, also for --resume. (Stopped, so that it does not end meanwhile.)
ranks_of "$launcher" | xargs kill -STOP
expect 7 analyze large "${few[@]}" --checkpoint-dir cp
expect 7 analyze large "${few[@]}" --resume cp
pids=$(ranks_of "$launcher"); kill -USR1 "$launcher"
# shellcheck disable=SC2086
kill -CONT $pids
code=0; wait "$launcher" || code=$?
[ $code = 75 ] || fail "SIGUSR1 gave $code"
job=$(echo cp/*/)
# Of another model, other settings.
expect 7 analyze "$model" "${few[@]}" --resume cp
expect 7 analyze large --calibration-data "$text" --calibration-samples 19 --ctx 24 --resume cp
expect 7 quantize large gguf -q Q8_0 --resume cp
grep -q 'no checkpoint of this job' err.txt || { cat err.txt; fail "the reason is missing"; }
# Half deleted: no identity; damaged identity; every generation damaged.
cp -r cp saved
rm "$job/job.json"; expect 7 analyze large "${few[@]}" --resume cp
echo '{' > "$job/job.json"; expect 7 analyze large "${few[@]}" --resume cp
rm -rf cp; cp -r saved cp
for generation in "$job"/generation-*.h5; do head -c 5000 "$generation" > head.h5; cat head.h5 > "$generation"; done
expect 7 analyze large "${few[@]}" --resume cp
# Deleted generations only cost time: the run says so and starts over.
rm -rf cp; cp -r saved cp; rm "$job"/generation-*.h5
on 2 --threads 1 analyze large "${few[@]}" --resume cp -o over.imatrix > /dev/null || fail "no generations: no start"
on 2 --threads 1 analyze large "${few[@]}" -o undisturbed.imatrix > /dev/null
same over.imatrix undisturbed.imatrix
# A wreck in place of the newest generation falls back to the one before.
rm -rf cp; cp -r saved cp
newest=$(printf '%s\n' "$job"/generation-*.h5 | tail -n 1)
head -c 3000 /dev/urandom | dd of="$newest" bs=1 seek=1000 conv=notrunc status=none
"$LLMQ_BIN" analyze large "${few[@]}" --resume cp -o back.imatrix > /dev/null 2> log.txt
grep -q 'falling back' log.txt || { cat log.txt; fail "no word about the older generation"; }
same back.imatrix undisturbed.imatrix

# --- two runs that write the same file: the second is refused and the first finishes.
start_run 2 quantize large gguf -q Q5_K_M -n twice --checkpoint-dir cp1
wait_for "twice.gguf.partial"
ranks_of "$launcher" | xargs -r kill -STOP
code=0; on 1 quantize large gguf -q Q4_K_M -n twice --checkpoint-dir cp2 > /dev/null 2> err.txt || code=$?
[ $code = 7 ] || { cat err.txt; fail "a second writer got $code"; }
ranks_of "$launcher" | xargs -r kill -CONT
wait "$launcher" || fail "the first writer was disturbed"
[ -s twice.gguf ] || fail "the first writer's file is gone"

# --- disks (1, 6)
code=0; (ulimit -f 100; on 1 quantize "$model" gguf -q Q8_0 -n big --no-checkpoints > /dev/null 2> err.txt) || code=$?
[ $code = 1 ] || { cat err.txt; fail "a file size limit gave $code"; }
[ "$(outputs | grep -c big)" = 0 ] || fail "a half-written file stayed"
code=0; (ulimit -f 1; on 1 analyze "$model" "${few[@]}" -o big.imatrix --no-checkpoints > /dev/null 2> err.txt) || code=$?
[ $code = 1 ] || { cat err.txt; fail "a file size limit gave $code in analyze"; }
[ "$(outputs | grep -c big)" = 0 ] || fail "a half-written imatrix stayed"
mkdir small
if mount -t tmpfs -o size=3m tmpfs small 2> /dev/null; then
  trap 'umount "$work/small"; rm -rf "$work"' EXIT
  expect 6 quantize "$model" gguf -q Q8_0 -o small --no-checkpoints          # 4.5 MB: told before work starts
  expect 6 quantize "$model" gguf -q Q8_0 -o small --checkpoint-dir cp3
  head -c 3000000 /dev/zero > small/fill
  # Generations do not fit: a warning, and the run goes on to the same result.
  on 2 --threads 1 --format json analyze large "${few[@]}" --checkpoint-dir small/cp --checkpoint-interval 0 -o lean.imatrix > lean.json
  grep -q "checkpoint could not be written" lean.json || { cat lean.json; fail "no word about the full checkpoint disk"; }
  same lean.imatrix undisturbed.imatrix
  rm small/fill; head -c 3140000 /dev/zero > small/fill || true
  expect 1 analyze "$model" "${few[@]}" -o small/full.imatrix --no-checkpoints
  rm small/fill; mount -o remount,ro small
  expect 2 quantize "$model" gguf -q Q4_0 -o small
  expect 2 analyze "$model" "${few[@]}" -o small/out.imatrix
  expect 7 analyze "$model" "${few[@]}" --checkpoint-dir small/cp
else
  echo "note: no right to mount here, the small disk was not tested"
fi
echo "$conditions faults have their code"
