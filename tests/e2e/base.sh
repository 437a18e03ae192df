#!/usr/bin/env bash
# --base of `quality report` and `quality compare`: the same bytes on any number of ranks, the same report with it and
# without, made again where it is of other contents or damaged, and nothing that is no base is touched.
. "$(dirname "$0")/lib.sh"

model=$LLMQ_TEST_DATA/stories260k
sample=(--text "$text" --ctx 48 --chunks 7)
for level in Q8_0 Q4_0; do on 1 quantize "$model" gguf -q $level -n $level > /dev/null; done

# report RANKS FILE ARGS...: what is said goes to FILE.log
report() {
  local ranks=$1 file=$2; shift 2
  local start=(); [ "$ranks" = 1 ] || start=(mpirun -n "$ranks")
  "${start[@]}" "$LLMQ_BIN" --format json quality report "$model" Q8_0.gguf "${sample[@]}" "$@" > "$file" 2> "$file.log"
}
# All of a report but times, the cost of passes and the word about a damaged base.
figures() { python3 - "$@" << 'PY'
import json, sys
d = json.load(open(sys.argv[1]))
for member in ("timestamp", "duration_seconds", "passes"): del d[member]
d["warnings"] = [w for w in d["warnings"] if "is damaged" not in w]
print(json.dumps(d))
PY
}
same_figures() { [ "$(figures "$1")" = "$(figures "$2")" ] || fail "$1 and $2 have other figures"; }
was_read() { grep -q "states are read from $2" "$1.log" && grep -q '"original_from_base": true' "$1" || { cat "$1.log"; fail "$1 did not read $2"; }; }
was_made() { grep -q "states are written to $2" "$1.log" && grep -q '"original_from_base": false' "$1" || { cat "$1.log"; fail "$1 did not make $2"; }; }
nothing_unfinished() { ! ls ./*.partial > /dev/null 2>&1 || fail "an unfinished file stayed"; }

# Written on 1 to 3 ranks and by two threads: the same bytes, and the figures of a report without. Seven chunks do not
# go round evenly; errors of layers come from the pass here and from the base below.
report 1 without.json --include-layers
for ranks in 1 2 3; do
  report $ranks made$ranks.json --base np$ranks.base --include-layers
  was_made made$ranks.json np$ranks.base
  same_figures without.json made$ranks.json
  same np1.base np$ranks.base
done
report 1 threads.json --base threads.base --threads 2
same np1.base threads.base
nothing_unfinished
! grep -q -a -e "$work" -e "$(hostname)" np1.base || fail "a path or a host is in the base"
python3 - << 'PY' || fail "other readers of safetensors"
import json, struct
data = open("np1.base", "rb").read()
size, = struct.unpack_from("<Q", data)
head = json.loads(data[8:8 + size])
assert head["__metadata__"]["format"] == "llm-quantize evaluation base" and head["__metadata__"]["chunks"] == "7"
assert head["states"]["shape"][:2] == [7, 23] and head["states"]["dtype"] == "F32"
assert head["importance.blk.0.attn_q.weight"]["shape"] == head["states"]["shape"][2:]
assert head["states"]["data_offsets"][1] == len(data) - 8 - size
PY

# Read on any number of ranks, whoever wrote it.
for ranks in 1 2; do
  report $ranks read$ranks.json --base np1.base --include-layers
  was_read read$ranks.json np1.base
  same_figures without.json read$ranks.json
done
same np2.base np1.base
on 1 quality report "$model" Q8_0.gguf "${sample[@]}" --base np1.base > table.txt
grep -q '^ *passes .*read from its base' table.txt || { cat table.txt; fail "what is said of the passes"; }

# Several files.
on 1 --format json quality compare "$model" Q8_0.gguf Q4_0.gguf "${sample[@]}" > compare.json
on 2 --format json quality compare "$model" Q8_0.gguf Q4_0.gguf "${sample[@]}" --base np1.base > read.json
same_figures compare.json read.json
grep -q '"original_from_base": true' read.json || fail "a comparison did not read the base"
on 1 quality compare "$model" Q8_0.gguf Q4_0.gguf "${sample[@]}" --base np1.base > table.txt
grep -q '^passes: original read from its base' table.txt || { cat table.txt; fail "what is said of a comparison's passes"; }

# Where memory holds one of them at a time the original runs once: the second one's turn reads what the first wrote.
tight=
for kilobytes in $(seq 268800 150 270600); do
  rm -f tight.base
  "$LLMQ_BIN" --format json --threads 1 --mem-per-rank "${kilobytes}KB" quality compare "$model" Q8_0.gguf Q4_0.gguf "${sample[@]}" \
    --base tight.base > tight.json 2> tight.log || continue
  grep -q 'memory holds 1 of 2 candidates at once; the original is read from its base for the others' tight.log && tight=$kilobytes && break
done
[ -n "$tight" ] || { cat tight.log; fail "no memory limit made the candidates go in turns"; }
grep -q '"original_from_base": false' tight.json || fail "a comparison that makes a base says it was read"
same_figures compare.json tight.json
same np1.base tight.base

# Of other contents or damaged: made again, to the bytes of a new one. (unit.pipeline has the other ways to be so.)
report 1 plain.json
cp np1.base kept.base
made_again() {  # NAME RANKS WORDS: np1.base is not used because of it, made again, and then as it was
  report "$2" "$1.json" --base np1.base
  was_made "$1.json" np1.base
  grep -q "np1.base $3: it is made again" "$1.json.log" || { cat "$1.json.log"; fail "$1: the reason is not said"; }
  same_figures plain.json "$1.json"
  same np1.base kept.base
}
change() { printf '\377\376' | dd of=np1.base bs=1 seek="$1" conv=notrunc status=none; }
size=$(stat -c %s np1.base)
other_text() { "$LLMQ_BIN" --verbosity quiet quality report "$model" Q8_0.gguf --base np1.base "$@" > /dev/null; }
other_text --text "$text" --ctx 48 --chunks 6;              made_again chunks 2 'is of other contents (chunks, tokens)'
other_text --ctx 48 --chunks 7;                             made_again text 1 'is of other contents (tokens)'
on 1 quality report Q8_0.gguf Q4_0.gguf "${sample[@]}" --base np1.base > /dev/null
made_again original 1 'is of other contents (original)'
change $((size - 100));                                     made_again states 3 'is damaged'
change $(($(header_bytes np1.base) + 6));                   made_again importance 2 'is damaged'
truncate -s $((size - 1)) np1.base;                         made_again short 2 'is damaged'
OPENBLAS_CORETYPE=Prescott other_text "${sample[@]}";         made_again arithmetic 1 'is of other contents (arithmetic)'

# No base: refused, and left as it is.
refused() {  # FILE WORDS
  local before; before=$(sha "$1")
  expect 2 quality report "$model" Q8_0.gguf "${sample[@]}" --base "$1"
  grep -q -e "$2" err.txt || { cat err.txt; fail "$1: the reason is not said"; }
  [ "$(sha "$1")" = "$before" ] || fail "$1 was touched"
}
cp "$model/model.safetensors" some.safetensors
refused some.safetensors 'another safetensors file, no evaluation base'
refused Q4_0.gguf 'no safetensors file'
expect 2 quality report "$model" Q8_0.gguf "${sample[@]}" --base "$model"
grep -q 'is a directory' err.txt || { cat err.txt; fail "a directory"; }
expect 2 quality report "$model" Q8_0.gguf "${sample[@]}" --base new.json -o ./new.json
[ ! -e new.json ] && nothing_unfinished || fail "a refused run left something"

# A directory that ranks do not share.
mkdir apart
if unshare -m true 2> /dev/null; then
  # shellcheck disable=SC2016
  hidden=(unshare -m bash -c 'mount -t tmpfs none apart && exec "$@"' bash)
  command=("$LLMQ_BIN" --verbosity quiet quality report "$model" Q8_0.gguf "${sample[@]}" --base apart/new.base)
  code=0; mpirun -n 1 "${command[@]}" : -n 1 "${hidden[@]}" "${command[@]}" > /dev/null 2> err.txt || code=$?
  [ $code = 2 ] && grep -q 'rank 1 does not see the file' err.txt || { cat err.txt; fail "a directory of rank 0 alone gave $code"; }
  [ -z "$(ls apart)" ] || fail "a directory of rank 0 alone keeps something"
else
  echo "note: no right to mount here, a directory that is not shared was not tested"
fi

# No room, and stopped: nothing is left.
code=0; (ulimit -f 20; on 1 quality report "$model" Q8_0.gguf "${sample[@]}" --base large.base > /dev/null 2> err.txt) || code=$?
[ $code = 1 ] && grep -q 'large.base.partial: File too large' err.txt || { cat err.txt; fail "a file size limit gave $code"; }
mkdir small
if mount -t tmpfs -o size=40k tmpfs small 2> /dev/null; then
  trap 'umount "$work/small"; rm -rf "$work"' EXIT
  expect 1 quality report "$model" Q8_0.gguf "${sample[@]}" --base small/full.base
  grep -q 'No space left' err.txt || { cat err.txt; fail "a full disk"; }
  [ -z "$(ls small)" ] || fail "a full disk keeps something"
else
  echo "note: no right to mount here, the full disk was not tested"
fi
start_run 2 quality report "$model" Q8_0.gguf --ctx 256 --base stopped.base
wait_for stopped.base.partial
kill -USR1 "$launcher"
code=0; wait "$launcher" || code=$?
[ $code = 75 ] || fail "SIGUSR1 gave $code"
[ ! -e stopped.base ] || fail "half a base has its name"
nothing_unfinished
# A run that was killed leaves PATH.partial; the next one takes it over. One that lives keeps it.
start_run 0 quality report "$model" Q8_0.gguf --ctx 256 --base killed.base
wait_for killed.base.partial; kill -STOP "$launcher"
expect 7 quality report "$model" Q8_0.gguf "${sample[@]}" --base killed.base
[ -e killed.base.partial ] || fail "another run's file was removed"
kill -KILL "$launcher"; wait "$launcher" || true
report 2 after.json --base killed.base && was_made after.json killed.base && same killed.base kept.base
nothing_unfinished

# A report that is read back needs no base and makes none; nor does a comparison of sizes.
on 1 quantize "$model" gguf -q Q8_0 -n Q8_0 --force --quality-report > /dev/null
"$LLMQ_BIN" quality report "$model" Q8_0.gguf --base unneeded.base > /dev/null 2> log.txt
grep -q 'Read from Q8_0.qreport' log.txt && [ ! -e unneeded.base ] || { cat log.txt; fail "a reused report"; }
on 1 quality compare "$model" Q8_0.gguf Q4_0.gguf --metrics size,bpw --base unneeded.base > /dev/null
[ ! -e unneeded.base ] || fail "sizes need no base"

# In a job.
cat > job.json << END
{"version": 1, "name": "base", "steps": [{"id": "judge", "type": "quality", "original": "$model", "candidates": "Q4_0.gguf",
  "text": "$text", "ctx": 48, "chunks": 7, "base": "job.base"}]}
END
on 1 run job.json > /dev/null
same kept.base job.base
echo "bases hold; $conditions conditions have their code"
