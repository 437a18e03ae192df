#!/usr/bin/env bash
# The kill matrix: every way a run can end before its time, early, in the middle and at the last unit, for analyze and
# quantize; resumed on another number of ranks and another grid it gives the bytes of an undisturbed run. The points
# are found by watching generation files and the journal. LLMQ_ALL=1 takes every combination, otherwise a sample.
. "$(dirname "$0")/lib.sh"
make_large_model large
level=Q4_K_M
samples=(--calibration-samples 32 --ctx 128)   # some 0.1 s a layer: long enough to be hit in the last one
on 2 --threads 1 analyze large "${samples[@]}" -o reference.imatrix > /dev/null
few_samples=(--calibration-samples 12 --ctx 64)   # forward and back, in waves of 8: 75 steps
for method in fisher gradient; do
  on 2 --threads 1 analyze large --method $method "${few_samples[@]}" -o $method.imatrix > /dev/null
done
on 2 --threads 1 --format json quantize large gguf -q $level -n reference > plan.json
units=$(grep -A 3 '"units"' plan.json | sed -n 's/.*"total": \([0-9]*\).*/\1/p')

# How runs end: NAME NP (0: without a launcher) SIGNAL TARGET, and the codes they may end with.
ways="rank:2:KILL:rank all:2:KILL:all launcher:2:KILL:launcher
      usr1:2:USR1:launcher term:2:TERM:launcher int:2:INT:launcher
      usr1-alone:0:USR1:launcher term-alone:0:TERM:launcher int-alone:0:INT:launcher"
code_of() {
  case $1 in
    usr1|*-alone) echo 75 ;;        # a clean checkpoint
    term|int) echo 1 ;;             # mpirun's own code
    *) echo 137 ;;
  esac
}

strike() {   # strike SIGNAL TARGET: of the run in $launcher
  case $2 in
    rank) kill "-$1" "$(ranks_of "$launcher" | tail -n 1)" ;;
    all) ranks_of "$launcher" | xargs kill "-$1" ;;
    launcher) kill "-$1" "$launcher" ;;
  esac 2> /dev/null || true
}
# Nothing of a run may live on when the next one starts.
wait_until_gone() {
  for _ in $(seq 500); do pgrep -f "llm-quantize.*$1" > /dev/null || return 0; sleep 0.02; done
  fail "ranks of $1 outlived their launcher"
}

wait_for_journal() {   # until the journals in DIR hold RECORDS of 24 bytes
  for _ in $(seq 6000); do
    [ "$(cat "$1"/*/journal.* 2> /dev/null | wc -c)" -ge $(($2 * 24)) ] && return 0
    kill -0 "$launcher" 2> /dev/null || return 0
    sleep 0.005
  done
  fail "the journal in $1 never got $2 records"
}

points=0 undisturbed=0
# after_the_end NAME: the run has ended; true if its checkpoint stands
after_the_end() {
  local code=0
  wait "$launcher" || code=$?
  wait_until_gone "cp-$1"
  [ -d "cp-$1" ] || { undisturbed=$((undisturbed + 1)); return 1; }   # it finished before the blow
  [ $code = "$(code_of "${1%%.*}")" ] || fail "$1 ended with $code, not $(code_of "${1%%.*}")"
  points=$((points + 1))
}

# published REFERENCE FILE: the blow fell between the rename and the removal of the checkpoint. Then the file is whole, and
# the run is none of those that were resumed.
published() {
  [ -e "$2" ] || return 1
  same "$1" "$2"
  rm "$2"
  points=$((points - 1)) undisturbed=$((undisturbed + 1))
}

resume_ranks() { case $((points % 4)) in 0) echo 1 ;; 1) echo 3 ;; 2) echo 4 ;; 3) echo 2 ;; esac; }

analyze_case() {   # WAY NP SIGNAL TARGET MOMENT
  local name=$1.$5.a generation ranks grid=()
  case $5 in early) generation=000001 ;; middle) generation=000006 ;; last) generation=000011 ;; esac
  start_run "$2" analyze large "${samples[@]}" -o "$name.imatrix" --checkpoint-dir "cp-$name" --checkpoint-interval 0
  wait_for "cp-$name/*/generation-$generation.h5"
  strike "$3" "$4"
  after_the_end "$name" || return 0
  ! published reference.imatrix "$name.imatrix" || return 0
  ranks=$(resume_ranks)
  [ "$ranks" = 4 ] && grid=(--layer-groups 2)
  on "$ranks" --threads 1 analyze large "${samples[@]}" -o "$name.imatrix" --resume "cp-$name" "${grid[@]}" > /dev/null
  same reference.imatrix "$name.imatrix"
}

# The same with gradients: hit on the way forward, on the way back, and in the last wave.
gradient_case() {   # WAY NP SIGNAL TARGET MOMENT METHOD
  local name=$1.$5.$6 generation ranks grid=()
  case $5 in early) generation=000004 ;; middle) generation=000019 ;; last) generation=000040 ;; esac
  start_run "$2" analyze large --method "$6" "${few_samples[@]}" -o "$name.imatrix" --checkpoint-dir "cp-$name" --checkpoint-interval 0
  wait_for "cp-$name/*/generation-$generation.h5"
  strike "$3" "$4"
  after_the_end "$name" || return 0
  ! published "$6.imatrix" "$name.imatrix" || return 0
  ranks=$(resume_ranks)
  case $ranks in 2|4) grid=(--layer-groups 2) ;; esac
  on "$ranks" --threads 1 analyze large --method "$6" "${few_samples[@]}" -o "$name.imatrix" --resume "cp-$name" "${grid[@]}" > /dev/null
  same "$6.imatrix" "$name.imatrix"
}

quantize_case() {
  local name=$1.$5.q share ranks
  case $5 in early) share=5 ;; middle) share=50 ;; last) share=90 ;; esac
  start_run "$2" quantize large gguf -q $level -n "$name" --checkpoint-dir "cp-$name"
  wait_for_journal "cp-$name" $((units * share / 100))
  strike "$3" "$4"
  after_the_end "$name" || return 0
  ! published reference.gguf "$name.gguf" || return 0
  ranks=$(resume_ranks)
  on "$ranks" --threads 1 quantize large gguf -q $level -n "$name" --resume "cp-$name" > /dev/null
  same reference.gguf "$name.gguf"
  rm "$name.gguf"
}

turn=0
for way in $ways; do
  IFS=: read -r name ranks signal target <<< "$way"
  for moment in early middle last; do
    turn=$((turn + 1))
    [ -n "${LLMQ_ALL:-}" ] || [ $((turn % 10)) = 1 ] || continue   # early, in the middle, last
    analyze_case "$name" "$ranks" "$signal" "$target" $moment
    quantize_case "$name" "$ranks" "$signal" "$target" $moment
    method=fisher; [ $((turn / 10 % 2)) = 0 ] || method=gradient
    gradient_case "$name" "$ranks" "$signal" "$target" $moment $method
  done
done
[ $points -gt 0 ] || fail "no run was hit"
echo "$points runs were hit and resumed with the same bytes, $undisturbed ended before the blow"
