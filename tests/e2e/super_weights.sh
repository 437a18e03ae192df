#!/usr/bin/env bash
# A model without super weights is told so, coverage marks as many weights as asked for, and a search that is stopped goes on
# from the finished statistics, on another number of ranks, to the bytes of an undisturbed run.
. "$(dirname "$0")/lib.sh"

on 1 --format json analyze "$model" "${few[@]}" --identify-super-weights --coverage 0.001 -o pebble.imatrix > result.json
grep -q '"spikes": \[\]' result.json || { cat result.json; fail "super weights in a model that has none"; }
grep -q '"identified": true' result.json || fail "nothing was searched"
layer_weights=$((4 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 768)))   # of pebble's 4 layers
grep -q "\"total_protected\": $(((layer_weights + 500) / 1000)),\?\$" result.json || { cat result.json; fail "not one weight in a thousand"; }

make_large_model large
search=(analyze large --method fisher --identify-super-weights --calibration-samples 2 --ctx 64)
on 1 --threads 1 "${search[@]}" -o reference.imatrix --no-checkpoints > /dev/null
"$LLMQ_BIN" --threads 1 "${search[@]}" -o stopped.imatrix > /dev/null 2> log.txt &
launcher=$!
for _ in $(seq 3000); do grep -q 'Identifying super weights' log.txt && break; sleep 0.02; done
kill -USR1 $launcher
code=0; wait $launcher || code=$?
[ $code = 75 ] || { cat log.txt; fail "stopped in the search: $code"; }
[ ! -e stopped.imatrix ] || fail "a file of an unfinished search"
on 2 --threads 1 "${search[@]}" -o stopped.imatrix --resume .checkpoint > /dev/null
same reference.imatrix stopped.imatrix
echo "none invented, none lost"
