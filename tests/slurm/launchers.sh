#!/usr/bin/env bash
# The batch scripts on a real scheduler: srun and mpirun start 4 ranks with their threads, results have the bytes of a run
# without SLURM, and a job fails with the program's code.
. "$(dirname "$0")/cluster.sh"
start_cluster
on 1 --threads 1 analyze "$model" "${few[@]}" -o reference.imatrix > /dev/null
on 1 --threads 1 quantize "$model" gguf -q Q4_K_M -n reference > /dev/null

declare -A jobs
run() { submit "$@"; jobs[$1]=$job; }
for LAUNCH in mpirun srun; do
  export LAUNCH
  LLM_QUANTIZE='' PATH=$(dirname "$LLMQ_BIN"):$PATH run "analyze-$LAUNCH" -- analyze "$model" "${few[@]}" -o out.imatrix
  run "quantize-$LAUNCH" --cpus-per-task=2 -- quantize "$model" Q4_K_M -n out --verbosity debug
  run "no-model-$LAUNCH" -- analyze nowhere
  run "no-level-$LAUNCH" -- quantize "$model" NOPE
  run "no-memory-$LAUNCH" --mem=100M -- analyze "$model" "${few[@]}"
done
LAUNCH=rsh run no-launcher -- analyze "$model"
LAUNCH=mpirun run no-arguments -- quantize "$model"
LAUNCH=mpirun run lost-checkpoint -- analyze "$model" --checkpoint-dir elsewhere

for LAUNCH in mpirun srun; do
  ended "analyze-$LAUNCH" "${jobs[analyze-$LAUNCH]}" COMPLETED 0:0 0
  logged "analyze-$LAUNCH" '1 layer groups x 4 sample groups'
  same reference.imatrix "analyze-$LAUNCH/out.imatrix"
  ended "quantize-$LAUNCH" "${jobs[quantize-$LAUNCH]}" COMPLETED 0:0 0
  logged "quantize-$LAUNCH" 'rank 3 of 4, 2 threads'
  same reference.gguf "quantize-$LAUNCH/out.gguf"
  ended "no-model-$LAUNCH" "${jobs[no-model-$LAUNCH]}" FAILED 3:0 0
  ended "no-level-$LAUNCH" "${jobs[no-level-$LAUNCH]}" FAILED 2:0 0
  logged "no-level-$LAUNCH" 'NOPE'
  ended "no-memory-$LAUNCH" "${jobs[no-memory-$LAUNCH]}" FAILED 5:0 0   # the allocation's memory, not the node's
done
ended no-launcher "${jobs[no-launcher]}" FAILED 2:0 0
ended no-arguments "${jobs[no-arguments]}" FAILED 2:0 0
logged no-arguments 'usage: '
ended lost-checkpoint "${jobs[lost-checkpoint]}" FAILED 2:0 0
[ -z "$(find . -path ./cluster -prune -o -name '.checkpoint*' -print)" ] || fail "a checkpoint stayed after success"
echo "${#jobs[@]} jobs ended as they should"
