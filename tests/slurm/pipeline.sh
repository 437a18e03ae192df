#!/usr/bin/env bash
# pipeline.sbatch on a real scheduler: a job file that is interrupted and requeued gives the files of an undisturbed run,
# and a failure keeps its code. Takes the first of jobs/*.json that works on a model of tests/data.
. "$(dirname "$0")/cluster.sh"
project=$(dirname "$scripts")
# Without the command, `run --help` prints the program's help and succeeds: look for it in the list.
"$LLMQ_BIN" --help | grep -q '^  run ' || skip "this llm-quantize has no command \"run\": pipeline.sbatch was not tested"
file=$(grep -l tests/data "$project"/jobs/*.json 2> /dev/null | head -n 1)
[ -n "$file" ] || fail "no job file in jobs/ works on a model of tests/data"
file=jobs/$(basename "$file")

place() { mkdir "$1"; ln -s "$project/tests" "$1/tests"; cp -r "$project/jobs" "$1/jobs"; }
results() { (cd "$1" && find . -name '*.gguf' -o -name '*.imatrix' | sort | xargs -r sha256sum); }
place plain
(cd plain && on 2 --threads 1 run "$file" > /dev/null)
[ -n "$(results plain)" ] || fail "$file makes neither a GGUF nor an imatrix"
code=0; on 1 run nowhere.json > /dev/null 2>&1 || code=$?

start_cluster
place batch
submit batch -- pipeline "$file"
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
echo "$file gave the same $(results batch | wc -l) files"
