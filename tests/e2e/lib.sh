# Shared by the end-to-end tests: a scratch directory, the tool, and runs of it on any number of ranks.
# shellcheck shell=bash disable=SC2034  # variables for the tests that source it
set -euo pipefail
: "${LLMQ_BIN:?}" "${LLMQ_TEST_DATA:?}" "${LLMQ_SLOW:=0}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
model=$LLMQ_TEST_DATA/pebble
text=$LLMQ_TEST_DATA/text/story.txt
# 20 samples of 24 tokens: quick, and divisible by none of 3, 8, 16.
few=(--calibration-data "$text" --calibration-samples 20 --ctx 24)

fail() { echo "FAIL: $*" >&2; exit 1; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
# on N ARGS...: the tool on N ranks, quiet.
on() {
  local ranks=$1; shift
  if [ "$ranks" = 1 ]; then "$LLMQ_BIN" --verbosity quiet "$@"
  else mpirun -n "$ranks" "$LLMQ_BIN" --verbosity quiet "$@"; fi
}
same() { [ "$(sha "$1")" = "$(sha "$2")" ] || fail "$1 and $2 differ"; }

# wait_for PATTERN: until a file of that name pattern exists. LLMQ_SLOW=1: five times as long, under sanitizers.
wait_for() {
  for _ in $(seq $((LLMQ_SLOW == 1 ? 15000 : 3000))); do
    compgen -G "$1" > /dev/null && return 0
    sleep 0.01
  done
  fail "$1 never appeared"
}
# start_run NP ARGS...: the tool in the background under mpirun (NP 0: without a launcher); $launcher is its process.
start_run() {
  local ranks=$1; shift
  if [ "$ranks" = 0 ]; then "$LLMQ_BIN" --verbosity quiet --threads 1 "$@" > /dev/null 2>&1 &
  else mpirun -n "$ranks" "$LLMQ_BIN" --verbosity quiet --threads 1 "$@" > /dev/null 2>&1 & fi
  launcher=$!
}
ranks_of() { pgrep -P "$1" -f llm-quantize || true; }
# 12 layers of hidden 512 with pebble's tokenizer, 36 M random weights: large enough to be hit in the middle. A quarter
# of that under sanitizers.
make_large_model() {
  if [ "$LLMQ_SLOW" = 1 ]; then "$LLMQ_MAKE_MODEL" "$1" "$model" 12 256 768
  else "$LLMQ_MAKE_MODEL" "$1" "$model" 12 512 1536; fi
}

# A copy of pebble that a test may damage.
copy_model() { mkdir "$1" && cp "$model"/* "$1"/ && chmod u+w "$1"/*; }
# Two bytes (a bfloat16, little-endian) at a byte offset of a file.
put_bf16() { printf %b "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
# Bytes of a safetensors file before its data.
header_bytes() { echo $(($(od -An -t u8 -N 8 "$1") + 8)); }

outputs() { find . -name '*.gguf*' -o -name '*.imatrix*' -o -name '*.report' | sort; }
conditions=0
expect_on="1 2"   # ranks
# failing_on N ARGS...: `on` for a run that fails. mpirun takes two seconds to end the other ranks: here rank 0, which has the word,
# goes first, and the others are ended at once.
failing_on() {
  # shellcheck disable=SC2016  # for the shell of each rank
  local ranks=$1 last='"$@"; code=$?; [ "$OMPI_COMM_WORLD_RANK" = 0 ] || sleep 5; exit $code'; shift
  if [ "$ranks" = 1 ]; then on 1 "$@"
  else OMPI_MCA_odls_base_sigkill_timeout=0 mpirun -n "$ranks" sh -c "$last" sh "$LLMQ_BIN" --verbosity quiet "$@"; fi
}
# expect CODE ARGS...: alone and on two ranks, in human and (alone) JSON form, the command fails with this code, says why and
# what to do in the contract's form, and leaves no new output behind. err.txt keeps the human form.
expect() {
  local wanted=$1 code ranks before; shift
  before=$(outputs)
  for ranks in $expect_on; do
    # Starting ranks is what these tests wait for: on two ranks one condition in three, all for the whole run.
    [ "$ranks" = 1 ] || [ -n "${LLMQ_ALL:-}" ] || [ $((conditions % 3)) = 0 ] || continue
    code=0; failing_on "$ranks" "$@" > out.txt 2> err.txt || code=$?
    [ $code = "$wanted" ] || { cat err.txt; fail "$* gave $code on $ranks ranks, not $wanted"; }
    grep -q 'Error' err.txt || { cat err.txt; fail "$*: no message"; }
    [ ! -s out.txt ] || fail "$*: an error on stdout in human form"
    # Rank 0 renders alone: both forms on two ranks are for the whole run too.
    [ "$ranks" = 1 ] || [ -n "${LLMQ_ALL:-}" ] || continue
    code=0; failing_on "$ranks" --format json "$@" > out.json 2> /dev/null || code=$?
    [ $code = "$wanted" ] || fail "$* gave $code in JSON form on $ranks ranks, not $wanted"
    if ! { grep -q "\"error_code\": $wanted,\?\$" out.json && grep -q '"suggestion": "..' out.json; }; then
      cat out.json; fail "$*: JSON error"
    fi
  done
  [ "$(outputs)" = "$before" ] || fail "$* left something behind: $(outputs)"
  conditions=$((conditions + 1))
}

# browser ARGS... URL: headless; anything the page logs is a failure.
browser() {
  timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --user-data-dir="$work/profile" \
    --enable-logging=stderr --v=0 "$@" 2> browser.log || { tail -5 browser.log; fail "chromium $*"; }
  grep CONSOLE browser.log > console.txt || true
  [ ! -s console.txt ] || { cat console.txt; fail "the page complains"; }
}
# check_looks PAGE: as wide as a desktop and a phone a picture of that width with nothing to scroll sideways, and light and
# dark have backgrounds of their own. A window is never narrower than 500 pixels; a frame is.
check_looks() {
  local page=$1 width scheme inner scroll background
  local probe='<script>parent.postMessage([innerWidth, document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor].join("|"), "*")</script>'
  sed "s#</body>#$probe</body>#" "$page" > probe.html
  rm -f backgrounds.txt
  for width in 1280 390; do
    browser --window-size=$width,2400 --screenshot="$work/$width.png" "file://$work/$page" > /dev/null
    [ "$(od -An -t u1 -j 16 -N 4 "$width.png" | awk '{ print $3 * 256 + $4 }')" = $width ] || fail "$page: the picture is not $width wide"
    printf '<script>onmessage = (heard) => { document.title = heard.data }</script><iframe src="probe.html" width="%s" height="2400" frameborder="0"></iframe>' \
      $width > frame.html
    for scheme in 0 1; do
      browser --window-size=1400,2400 --blink-settings=preferredColorScheme=$scheme --dump-dom "file://$work/frame.html" > probe.dom
      sed -n 's#.*<title>\(.*\)</title>.*#\1#p' probe.dom > "probe.$width.$scheme"
      IFS='|' read -r inner scroll background < "probe.$width.$scheme" || true
      [ "$inner" = $width ] && [ "$scroll" = $width ] || fail "$page: $scroll wide in a frame of $width"
      echo "$background" >> backgrounds.txt
    done
  done
  [ "$(sort -u backgrounds.txt | wc -l)" = 2 ] || { cat backgrounds.txt; fail "$page: light and dark look alike"; }
}
