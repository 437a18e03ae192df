#!/usr/bin/env bash
# Interrupted jobs on a real scheduler: the time limit's signal commits a checkpoint, the job is requeued, resumes and
# gives the bytes of an undisturbed run; the cap on restarts ends it, also where slurm.conf requeues code 75 itself.
. "$(dirname "$0")/cluster.sh"
shape=(12 1024 2816)   # 140 M weights: seconds of work to be met in
[ "${LLMQ_SLOW:-0}" = 0 ] || shape=(12 256 768)
"$LLMQ_MAKE_MODEL" large "$model" "${shape[@]}"
large=$PWD/large
samples=(--calibration-samples 40 --ctx 64)
analyze=(analyze "$large" "${samples[@]}" --checkpoint-interval 0 -o out.imatrix)
quantize=(quantize "$large" Q4_K_M -n out)
start_cluster

# Signalled at the scheduler's first look at time limits from the 10th second on: it looks every 30 s, 30 s ahead.
limit=(--time=1 --signal=B:USR1@20)
LAUNCH=srun submit limit-analyze "${limit[@]}" -- "${analyze[@]}"
limit_analyze=$job
wait_for "limit-analyze/.checkpoint-slurm-$job/*/generation-000002.h5"
freeze limit-analyze
LAUNCH=mpirun submit limit-quantize "${limit[@]}" -- "${quantize[@]}"
limit_quantize=$job
until [ "$(cat limit-quantize/.checkpoint-slurm-"$job"/*/journal.* 2> /dev/null | wc -c)" -gt 0 ]; do sleep 0.01; done
freeze limit-quantize
for name in limit-analyze limit-quantize; do
  [ -z "$(find $name -name out.imatrix -o -name out.gguf)" ] || fail "$name was through before it could be stopped"
done

# Meanwhile: a program that is always interrupted, restarted once.
printf '#!/bin/sh\necho "$@" >> calls\nexit 75\n' > never_done
chmod +x never_done
LLM_QUANTIZE=$PWD/never_done MAX_RESTARTS=1 submit capped --ntasks=1 -- pipeline job.json --dry-run
capped=$job

# And a job that may not restart; another one takes its checkpoint over.
MAX_RESTARTS=0 LAUNCH=mpirun submit given-up -- "${analyze[@]}"
given_up=$job
wait_for "given-up/.checkpoint-slurm-$job/*/generation-000002.h5"
freeze given-up
scancel --signal=USR1 --batch "$job"
wait_for_log given-up 'asking for a checkpoint'
thaw given-up
ended given-up "$given_up" FAILED 75:0 0
logged given-up "to go on: CONTINUE=$given_up "
[ ! -e given-up/out.imatrix ] || fail "an interrupted job left an imatrix"
mv given-up/log given-up/first.log
CONTINUE=$given_up LAUNCH=srun submit given-up --ntasks=3 -- "${analyze[@]}"
taken_over=$job

for name in limit-analyze limit-quantize; do
  wait_for_log $name 'asking for a checkpoint'
  thaw $name
done
on 2 --threads 1 analyze "$large" "${samples[@]}" -o reference.imatrix > /dev/null
on 2 --threads 1 quantize "$large" gguf -q Q4_K_M -n reference > /dev/null

ended limit-analyze "$limit_analyze" COMPLETED 0:0 some
logged limit-analyze 'restart 1: srun, 4 ranks'
logged limit-analyze 'Resuming from generation [0-9]'
same reference.imatrix limit-analyze/out.imatrix
ended limit-quantize "$limit_quantize" COMPLETED 0:0 some
logged limit-quantize 'restart 1: mpirun, 4 ranks'
logged limit-quantize 'Resuming: [1-9][0-9]* of [0-9]* units are done'
same reference.gguf limit-quantize/out.gguf
ended given-up "$taken_over" COMPLETED 0:0 0
logged given-up 'Resuming from generation [0-9]'
same reference.imatrix given-up/out.imatrix
[ -z "$(find . -path ./cluster -prune -o \( -name '.checkpoint*' -o -name '*.partial' \) -print)" ] ||
  fail "something stayed after success"

ended capped "$capped" FAILED 75:0 1
logged capped 'MAX_RESTARTS'
[ "$(grep -c ' run job.json --dry-run$' capped/calls)" = 2 ] || fail "$(cat capped/calls): not two calls"

# Where the site requeues on 75, an end with 75 is none: the job is held.
echo RequeueExit=75 >> "$SLURM_CONF"
scontrol reconfigure
mkdir held
: > held/calls
LLM_QUANTIZE=$PWD/never_done MAX_RESTARTS=1 submit held --ntasks=1 -- pipeline job.json
calls() { wc -l < held/calls; }
until [[ $(field "$job" Reason) == JobHeld* ]]; do
  [ "$(calls)" -le 2 ] || fail "the cap did not hold: $(cat held/log)"
  sleep 0.2
done
[ "$(field "$job" ExitCode) $(calls)" = "75:0 2" ] || fail "held with $(field "$job" ExitCode): $(cat held/log)"
scancel "$job"
echo "interrupted by the time limit, requeued, resumed: same bytes; the cap holds"
