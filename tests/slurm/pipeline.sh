#!/usr/bin/env bash
# pipeline.sbatch on a real scheduler: a job file that is interrupted and requeued gives the files of an undisturbed run,
# and a failure keeps its code.
. "$(dirname "$0")/cluster.sh"
# Without the command, `run --help` prints the program's help and succeeds: look for it in the list.
"$LLMQ_BIN" --help | grep '^  run ' > /dev/null || skip "this llm-quantize has no command \"run\": pipeline.sbatch was not tested"
file=$(dirname "$scripts")/jobs/single-level.json
[ -f "$file" ] || fail "$file is missing"
steps=("$file" --set "model=$model" --set samples=32 --set chunks=8)   # its outputs go to ./out

results() { (cd "$1" && find . -name '*.gguf' -o -name '*.imatrix' | sort | xargs -r sha256sum); }
mkdir plain
(cd plain && on 2 --threads 1 run "${steps[@]}" > /dev/null)
[ "$(results plain | wc -l)" = 2 ] || fail "the job makes other files than an imatrix and a GGUF: $(results plain)"
code=0; on 1 run nowhere.json > /dev/null 2>&1 || code=$?

start_cluster
submit batch -- pipeline "${steps[@]}"
until [ "$(ranks_in batch | wc -l)" = 4 ]; do sleep 0.01; done
freeze batch
scancel --signal=USR1 --batch "$job"
wait_for_log batch 'asking for a checkpoint'
thaw batch
interrupted=$job
submit nowhere -- pipeline nowhere.json
ended nowhere "$job" FAILED "$code:0" 0
ended batch "$interrupted" COMPLETED 0:0 some
[ "$(results batch)" = "$(results plain)" ] || fail "other files than without SLURM: $(results batch)"
echo "an interrupted job file gave the same files"
