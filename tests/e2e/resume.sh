#!/usr/bin/env bash
# kill -9 of one rank in the middle, SIGUSR1, and a damaged newest generation: resumed on another np and grid, the
# result has the bytes of an undisturbed run.
. "$(dirname "$0")/lib.sh"

# wait_for PATTERN: until a file of that name pattern exists.
wait_for() {
  for _ in $(seq 600); do
    compgen -G "$1" > /dev/null && return 0
    sleep 0.02
  done
  fail "$1 never appeared"
}
long=(--calibration-data "$text" --calibration-samples 20 --ctx 24 --checkpoint-interval 0)
on 1 analyze "$model" -o reference.imatrix "${few[@]}" > /dev/null

# A commit after every unit makes the run long enough to be hit in the middle.
start_analyze() {   # start_analyze NP DIRECTORY OPTIONS...
  local ranks=$1 place=$2; shift 2
  mpirun -n "$ranks" "$LLMQ_BIN" --verbosity quiet --threads 1 analyze "$model" -o lost.imatrix "${long[@]}" \
    --checkpoint-dir "$place" "$@" > /dev/null 2>&1 &
  launcher=$!
}
ranks_of() { pgrep -P "$1" -f llm-quantize || true; }

for round in 1 2 3; do
  place=kill$round
  start_analyze 2 $place
  wait_for "$place/*/generation-00000$((round + 1)).h5"
  victim=$(ranks_of $launcher | tail -n 1)
  [ -n "$victim" ] && kill -9 "$victim" 2> /dev/null
  wait $launcher && [ -z "$victim" ] && fail "the run did not notice its lost rank"
  [ -d $place ] || { echo "round $round ended before the kill"; continue; }
  case $round in
    1) on 3 --threads 1 analyze "$model" -o "resumed$round.imatrix" "${few[@]}" --resume $place > /dev/null ;;
    2) on 1 --threads 2 analyze "$model" -o "resumed$round.imatrix" "${few[@]}" --resume $place > /dev/null ;;
    3) on 4 --threads 1 analyze "$model" -o "resumed$round.imatrix" "${few[@]}" --resume $place --layer-groups 2 > /dev/null ;;
  esac
  same reference.imatrix "resumed$round.imatrix"
  [ ! -d $place ] || fail "$place was not removed after success"
done

# SIGUSR1 to the launcher reaches the ranks: commit, exit 75.
start_analyze 2 usr1
wait_for "usr1/*/generation-*.h5"
kill -USR1 $launcher
code=0; wait $launcher || code=$?
if [ -d usr1 ]; then
  [ $code = 75 ] || fail "SIGUSR1 gave exit code $code"
  newest=$(ls usr1/*/generation-*.h5 | tail -n 1)
  if [ "$(ls usr1/*/generation-*.h5 | wc -l)" -ge 2 ]; then
    printf 'damage' | dd of="$newest" bs=1 seek=3000 conv=notrunc status=none   # falls back to the one before
  fi
  on 2 --threads 1 analyze "$model" -o usr1.imatrix "${few[@]}" --resume usr1 > /dev/null
  same reference.imatrix usr1.imatrix
fi

# Quantize: the journal says what is in the .partial file.
on 1 quantize "$model" gguf -q Q6_K -n reference-q > /dev/null
killed=0
for try in 1 2 3 4 5; do
  rm -rf q$try; mkdir q$try
  mpirun -n 2 "$LLMQ_BIN" --verbosity quiet --threads 1 quantize "$model" gguf -q Q6_K -o q$try --checkpoint-dir q$try/cp > /dev/null 2>&1 &
  launcher=$!
  wait_for "q$try/cp/*/journal.*"
  victim=$(ranks_of $launcher | tail -n 1)
  [ -n "$victim" ] && kill -9 "$victim" 2> /dev/null
  wait $launcher || true
  [ -d q$try/cp ] || continue
  [ ! -e q$try/pebble-Q6_K.gguf ] || fail "a killed run left a file under the final name"
  killed=1
  on 3 quantize "$model" gguf -q Q6_K -o q$try --resume q$try/cp > /dev/null
  same reference-q.gguf q$try/pebble-Q6_K.gguf
  break
done
[ $killed = 1 ] || echo "quantize was too quick to be killed"
echo "resumed runs have the bytes of undisturbed ones"
