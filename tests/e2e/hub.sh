#!/usr/bin/env bash
# Hub ids as MODEL: found in caches, downloaded once, checked, resumed after every kind of end, and refused with the
# contract's codes and words; the token goes to the hub alone. The hub is hub_server.py on loopback.
. "$(dirname "$0")/lib.sh"
unset HF_HUB_CACHE HF_HUB_OFFLINE HF_TOKEN LLM_QUANTIZE_CACHE http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export LLM_QUANTIZE_IMATRIX_CACHE=$work/imatrices HF_HOME=$work/home LLM_QUANTIZE_DOWNLOAD_PATIENCE=20 no_proxy='*'
hub=$work/hub repos=$work/hub/repos cache=$work/home/hub
mkdir -p "$repos/acme"
python3 "$(dirname "$0")/hub_server.py" "$hub" &
server=$!
trap 'kill $server 2> /dev/null || true; rm -rf "$work"' EXIT
wait_for "$hub/ports"
read -r port _ < "$hub/ports"
export HF_ENDPOINT=http://127.0.0.1:$port

# mode LINE...: what goes wrong from now on, counted anew.
# quick: failures of rank 0 alone, the only one that speaks to hubs, are tried on one rank unless all is.
quick() { [ -n "${LLMQ_ALL:-}" ] || expect_on=1; }
modes=0
mode() { modes=$((modes + 1)); { echo "# $modes"; printf '%s\n' "$@"; } > "$hub/mode.new"; mv "$hub/mode.new" "$hub/mode"; }
forget_requests() { : > "$hub/log"; }
requests() { grep -c . "$hub/log" || true; }
lists() { grep -c ' /api/models/' "$hub/log" || true; }
# Bytes the storage host was asked for of a file.
asked_bytes() { grep "^storage .*/$1?" "$hub/log" | awk '{ split(substr($4, 7), r, "-"); sum += r[2] - r[1] + 1 } END { print sum + 0 }'; }
field() { sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -n 1; }
repository() { echo "$cache/models--acme--$1"; }
# Everything under a blob's name has the content of that name, and nothing is on its way any more.
sound() {
  local blob name
  for blob in "$(repository "$1")"/blobs/*; do
    name=${blob##*/}
    case ${#name} in
      64) [ "$(sha "$blob")" = "$name" ] || fail "$name is not its content" ;;
      40) [ "$( (printf 'blob %d\0' "$(stat -c %s "$blob")"; cat "$blob") | sha1sum | cut -d' ' -f1)" = "$name" ] || fail "$name is not its content" ;;
      *) fail "$name was left" ;;
    esac
  done
}
info() { on 1 --format json info "$@" > info.json; }
# not_whole NAME: what a failure has left is not taken for a model.
not_whole() {
  local code=0
  HF_HUB_OFFLINE=1 on 1 info "acme/$1" > /dev/null 2>&1 || code=$?
  [ $code = 3 ] || fail "without network acme/$1 gives $code after a failure"
}
# recovers NAME: a good run afterwards brings all of it.
recovers() {
  not_whole "$1"
  mode
  info "acme/$1" || fail "acme/$1 does not recover"
  [ "$(field info.json model_name)" = "$1" ] || fail "name $(field info.json model_name)"
  sound "$1"
  rm -rf "$cache"
}

cp -r "$model" "$repos/acme/pebble"
cp -r "$LLMQ_TEST_DATA/stories260k" "$repos/acme/tiny"
chmod -R u+w "$repos"
echo weights > "$repos/acme/pebble/pytorch_model.bin"
echo weights > "$repos/acme/pebble/flax_model.msgpack"
echo words > "$repos/acme/pebble/README.md"
on 1 quantize "$model" gguf -q Q4_0 -n local > /dev/null

# Downloaded, the same bytes as from a directory, and the files a model needs alone.
mode 'token sesame'
HF_TOKEN=sesame on 1 quantize acme/pebble gguf -q Q4_0 > /dev/null
same local.gguf pebble-Q4_0.gguf
sed 's/.* //; s/?.*//' "$hub/log" | grep -v '^/api/' | sed 's#.*/##' | sort -u > fetched.txt
printf '%s\n' config.json generation_config.json model.safetensors tokenizer.json tokenizer.model tokenizer_config.json > needed.txt
diff fetched.txt needed.txt || fail "other files than needed were fetched"
[ "$(lists)" = 1 ] || fail "$(lists) lists"
sound pebble
grep '^storage' "$hub/log" | awk '$5 != "-" { exit 1 }' || fail "the token reached the storage host"
grep '^hub' "$hub/log" | awk '$5 != "Bearer_sesame" { exit 1 }' || fail "the hub did not get the token"
[ "$(grep -c '^storage 206' "$hub/log")" -ge 4 ] || fail "weights did not come in ranges"
[ -L "$(repository pebble)/snapshots/$(cat "$(repository pebble)/refs/main")/config.json" ] || fail "no link in the snapshot"

# Again, and without network: not one request.
forget_requests
on 2 --format json info acme/pebble > info.json
HF_HUB_OFFLINE=1 on 1 quantize acme/pebble gguf -q Q4_0 -n again > /dev/null
same local.gguf again.gguf
[ "$(requests)" = 0 ] || fail "the cache was not enough"

export HF_TOKEN=sesame

# Everywhere a model is taken; no path of the cache in anything that is written.
on 1 analyze "$model" "${few[@]}" -o local.imatrix > /dev/null
on 3 --format json analyze acme/pebble "${few[@]}" --report analyzed.json > analyze.json
same local.imatrix pebble.imatrix
[ "$(field analyze.json model_path)" = acme/pebble ] || fail "model_path"
on 1 profile validate balanced acme/pebble | grep -q 'fits acme/pebble' || fail "profile validate"
expect 10 profile create --imatrix pebble.imatrix --name mine --model acme/tiny   # another model's tensors were seen
on 2 --format json quality report acme/pebble pebble-Q4_0.gguf --calibration-samples 4 -o report.json > shown.json
[ "$(field report.json original_model)" = acme/pebble ] || fail "original_model"
on 1 quality compare acme/pebble pebble-Q4_0.gguf local.gguf --calibration-samples 4 -o compared.html > /dev/null
on 1 quantize acme/pebble smoothquant --imatrix pebble.imatrix > /dev/null
cp -r pebble-smoothquant-w8a8 "$repos/acme/pebble-w8a8"
on 1 quality report acme/pebble acme/pebble-w8a8 --calibration-samples 4 -o int8.csv > quality.txt
grep -q 'Quality of pebble-w8a8' quality.txt || { cat quality.txt; fail "the name of a hub id as QUANTIZED"; }
on 1 quantize acme/pebble gguf -q Q8_0 --quality-report > /dev/null
if grep -rl 'snapshots\|models--' pebble* ./*.json ./*.html ./*.csv; then fail "a path of the cache in an output"; fi
cat > job.json << 'JSON'
{"version": 1, "name": "from-hub", "steps": [
  {"id": "make", "type": "quantize", "model": "acme/pebble@v1", "quant-level": "Q5_0"},
  {"id": "judge", "type": "quality", "original": "acme/pebble@v1", "candidates": ["${steps.make.output}"], "calibration-samples": 4}]}
JSON
forget_requests
on 2 run job.json > job.txt
[ -s pebble-Q5_0.gguf ] || fail "the job made nothing"
[ "$(lists)" = 1 ] || fail "the job looked $(lists) times"
[ "$(asked_bytes model.safetensors)" = 0 ] || fail "weights of another revision with the same content were fetched again"
HF_HUB_OFFLINE=1 on 1 run job.json > job.txt
[ "$(grep -c skipped job.txt)" = 2 ] || { cat job.txt; fail "a job that is up to date ran again"; }

# Revisions; the name stays the name.
mkdir v1
on 1 quantize acme/pebble@v1 gguf -q Q4_0 -o v1 > /dev/null
same local.gguf v1/pebble-Q4_0.gguf
info acme/pebble@refs/pr/1
[ -s "$(repository pebble)/refs/refs/pr/1" ] || fail "no reference for refs/pr/1"
HF_HUB_OFFLINE=1 info "acme/pebble@$(cat "$(repository pebble)/refs/v1")"
unset HF_TOKEN

# What exists locally wins, and what looks like a path is no id.
mode 'list-status 500 1000'
mkdir -p mine && cp -r "$model" mine/pebble
on 1 info mine/pebble > /dev/null
forget_requests
expect 3 info acme/none/deep
quick
for path in ./acme/none /acme/none none acme/none.gguf acme/--none acme/no..ne ../none; do expect 3 info "$path"; done
[ "$(requests)" = 0 ] || fail "a path was asked for at the hub"

# A token in a file, and in no log.
rm -rf "$cache"
mode 'token sesame' 'cut model.safetensors 100000 3'
echo sesame > home/token
"$LLMQ_BIN" --verbosity debug --log-file log.txt info acme/pebble > debug.txt 2>&1
if grep sesame debug.txt log.txt; then fail "the token was shown"; fi
grep -q 'trying again' debug.txt || fail "nothing said of lost connections"
sound pebble
rm -rf "$cache" home/token

# Faults that pass: the run waits, goes on, and brings the right bytes.
passing() {
  mode "$@"
  info acme/pebble || fail "$* was not got over"
  sound pebble
  rm -rf "$cache"
}
start=$SECONDS
passing 'list-status 429 2' 'list-retry-after 1'
[ $((SECONDS - start)) -ge 2 ] || fail "Retry-After was not heard"
passing 'list-status 503 1'
passing 'file-status 403 2'
passing 'file-status 500 1'
passing 'cut model.safetensors 300000 4' 'cut config.json 100 1'
forget_requests
passing 'no-ranges'
[ "$(grep '^storage 200' "$hub/log" | grep -c -- ' - - .*/model.safetensors')" = 1 ] || fail "a file without ranges did not come once"
passing 'no-ranges' 'cut model.safetensors 3000000 1'
passing 'wrong model.safetensors 1'
passing 'wrong tokenizer.json 1'

# Faults that stay, each with its code; afterwards a good run works.
export LLM_QUANTIZE_DOWNLOAD_PATIENCE=0.6
mode
info acme/pebble
expect_on="1 2"
expect 3 info acme/pebbel
grep -q 'did you mean acme/pebble?' err.txt || { cat err.txt; fail "no near match"; }
expect 3 quantize acme/pebble@nope gguf -q Q4_0
grep -q 'no revision "nope"' err.txt || fail "words"
HF_HUB_OFFLINE=1 expect 3 analyze acme/pebbel
grep -q 'HF_HUB_OFFLINE' err.txt || fail "words"
mode hidden
expect 4 info acme/pebbel
grep -q 'did you mean acme/pebble?' err.txt || fail "no near match"
rm -rf "$cache"
mode 'token sesame'
expect 4 info acme/pebble
grep -q 'HF_TOKEN' err.txt || fail "words"
HF_TOKEN=swordfish expect 4 info acme/pebble
if grep swordfish err.txt out.json; then fail "the token was shown"; fi
recovers pebble
mode gated
HF_TOKEN=sesame expect 4 info acme/pebble
grep -q "licence at $HF_ENDPOINT/acme/pebble" err.txt || { cat err.txt; fail "words"; }
quick
mode garbage
expect 6 info acme/pebble
mode 'commit ../../../evil'
expect 6 info acme/pebble
[ ! -e "$work/evil" ] && [ ! -e "$work/home/evil" ] || fail "a commit became a path"
mode 'size model.safetensors 5000'
expect 6 info acme/pebble
recovers pebble
mode 'size model.safetensors -1'
expect 6 info acme/pebble
mode 'size model.safetensors 1000000000000000'
expect 6 info acme/pebble
grep -q 'Free disk space' err.txt || { cat err.txt; fail "words"; }
recovers pebble
mode 'total 8397401'
expect 6 info acme/pebble
recovers pebble
mode 'wrong model.safetensors 1000'
expect_on="1 2"
expect 6 info acme/pebble
quick
grep -q 'listed is' err.txt || { cat err.txt; fail "words"; }
recovers pebble
mode 'wrong tokenizer.json 1000'
expect 6 info acme/pebble
recovers pebble
mode 'list-status 500 1000'
expect 1 info acme/pebble
mode 'cut model.safetensors 0 1000'
expect 1 info acme/pebble
grep -q 'what has arrived is kept' err.txt || fail "words"
recovers pebble
mode no-ranges 'cut model.safetensors 4000000 1000'
expect 1 info acme/pebble
recovers pebble
mode loop
expect 1 info acme/pebble
recovers pebble
HF_ENDPOINT=http://127.0.0.1:1 expect 1 info acme/pebble
HF_ENDPOINT=ftp://hub expect 2 info acme/pebble
HF_ENDPOINT=http://me@hub expect 2 info acme/pebble
HF_TOKEN='a b' expect 2 info acme/pebble
LLM_QUANTIZE_DOWNLOAD_PATIENCE=long expect 2 info acme/pebble
HF_HUB_CACHE=$work/local.gguf/hub expect 2 info acme/pebble

# Repositories that are no models, and names that would be paths.
mkdir "$repos"/acme/{bare,sharded}
cp "$model"/*.json "$repos/acme/bare"
expect 3 info acme/bare
cp "$model"/*.json "$model"/tokenizer.model "$repos/acme/sharded"
for shard in ../../../evil.safetensors model-00009-of-00009.safetensors; do
  echo "{\"weight_map\": {\"model.norm.weight\": \"$shard\"}}" > "$repos/acme/sharded/model.safetensors.index.json"
  expect 6 info acme/sharded
done
not_whole sharded
rm "$repos/acme/bare/config.json"
expect 3 info acme/bare
export LLM_QUANTIZE_DOWNLOAD_PATIENCE=20

# A cache as huggingface_hub leaves it, by hand: used without network when whole, completed when not.
python3 - "$model" "$repos/acme/sharded" << 'PY'
import json, struct, sys
source, target = sys.argv[1:]
with open(source + "/model.safetensors", "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    begin = file.tell()
    names = sorted(name for name in header if name != "__metadata__")
    index = {}
    for number, part in enumerate((names[:5], names[5:]), 1):
        shard, at, data = {}, 0, b""
        for name in part:
            first, last = header[name]["data_offsets"]
            file.seek(begin + first)
            data += file.read(last - first)
            shard[name] = dict(header[name], data_offsets=[at, at + last - first])
            at += last - first
            index[name] = f"model-0000{number}-of-00002.safetensors"
        text = json.dumps(shard).encode()
        with open(f"{target}/{index[part[0]]}", "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text + data)
json.dump({"weight_map": index}, open(target + "/model.safetensors.index.json", "w"))
PY
commit=0123456789abcdef0123456789abcdef01234567
snapshot=$(repository byhand)/snapshots/$commit
mkdir -p "$(repository byhand)"/{blobs,refs} "$snapshot"
printf %s $commit > "$(repository byhand)/refs/main"
number=0
for file in "$repos"/acme/sharded/*; do
  number=$((number + 1))
  cp "$file" "$(repository byhand)/blobs/$number"
  ln -s "../../blobs/$number" "$snapshot/${file##*/}"
done
forget_requests
HF_HUB_OFFLINE=1 on 2 quantize acme/byhand gguf -q Q4_0 -n byhand > /dev/null
HF_HUB_OFFLINE=1 info "acme/byhand@$commit"
[ "$(requests)" = 0 ] || fail "a whole cache was not enough"
mv "$snapshot/model-00002-of-00002.safetensors" kept
HF_HUB_OFFLINE=1 expect 3 info acme/byhand
mv kept "$snapshot/model-00002-of-00002.safetensors"
truncate -s -1 "$(readlink -f "$snapshot/model-00001-of-00002.safetensors")"
HF_HUB_OFFLINE=1 expect 3 info acme/byhand
# The hub's own commit with one file lost: only that one is asked for.
info acme/sharded
lost=$(readlink -f "$(repository sharded)"/snapshots/*/model-00002-of-00002.safetensors)
rm "$lost"
forget_requests
LLM_QUANTIZE_CACHE=$work/second info acme/sharded
[ -d "$work/second/hub/models--acme--sharded" ] || fail "LLM_QUANTIZE_CACHE was not used"
# Where no variable names a cache there is one of our own, and it is found again.
(
  unset HF_HOME
  export HOME=$work/user
  info acme/sharded
  [ -d "$work/user/.cache/llm-quantize/hub/models--acme--sharded" ] || fail "downloads do not go to ~/.cache/llm-quantize"
  HF_HUB_OFFLINE=1 info acme/sharded
)
forget_requests
info acme/sharded
[ "$(grep -c resolve "$hub/log")" = "$(grep -c 'resolve.*/model-00002-of-00002' "$hub/log")" ] || fail "more than the lost file was fetched"
sound sharded
rm -rf "$cache" "$work/second"

# Large and slow, so that it can be hit in the middle.
make_large_model "$repos/acme/large"
chmod -R u+w "$repos"
size=$(stat -c %s "$repos/acme/large/model.safetensors")
on 1 quantize "$repos/acme/large" gguf -q Q4_0 -n large-local > /dev/null
slow() { mode "throttle $((size / 12))"; forget_requests; }
# received: bytes the journal holds; until_received BYTES.
received() { cat "$(repository large)"/blobs/*.llmq-received 2> /dev/null | awk '{ sum += $2 - $1 } END { print sum + 0 }'; }
until_received() {
  for _ in $(seq 2000); do [ "$(received)" -ge "$1" ] && return 0; sleep 0.02; done
  fail "never received $1 bytes"
}
finished() {
  on 1 quantize acme/large gguf -q Q4_0 -n "$1" > /dev/null
  same large-local.gguf "$1.gguf"
  sound large
}
for how in KILL:0:137 TERM:0:75 USR1:2:75; do
  IFS=: read -r signal ranks wanted <<< "$how"
  slow
  start_run "$ranks" info acme/large
  until_received $((size / 4))
  kill "-$signal" "$launcher"
  code=0; wait "$launcher" || code=$?
  [ $code = "$wanted" ] || fail "$how ended with $code"
  [ -z "$(find "$(repository large)"/snapshots -name '*.safetensors')" ] || fail "$how left a link"
  not_whole large
  kept=$(received)
  mode; forget_requests
  finished "after-$signal"
  [ "$(asked_bytes model.safetensors)" = $((size - kept)) ] || fail "$how: asked for $(asked_bytes model.safetensors) of $((size - kept)) bytes"
  rm -rf "$cache"
done

# A journal torn in the middle of a line, and one that says more than is true: the content decides.
slow
start_run 0 info acme/large
until_received $((size / 4))
kill -KILL "$launcher"; wait "$launcher" || true
mode
printf '0 %s\n17 4' "$size" >> "$(ls "$(repository large)"/blobs/*.llmq-received)"
finished lied
rm -rf "$cache"

# Three ranks and one download; who waits does not burn the processor.
slow
start_run 3 info acme/large
until_received $((size / 3))
busy=0
for rank in $(ranks_of "$launcher" | tail -n 2); do
  ticks=$(awk '{ print $14 + $15 }' "/proc/$rank/stat")
  [ "$ticks" -lt $((LLMQ_SLOW == 1 ? 600 : 60)) ] || busy=$((busy + 1))
done
[ $busy = 0 ] || fail "$busy ranks spin while they wait"
wait "$launcher" || fail "three ranks: $?"
[ "$(lists)" = 1 ] && [ "$(asked_bytes model.safetensors)" = "$size" ] || fail "three ranks downloaded more than once"
rm -rf "$cache"

# Two runs at once: the second waits for the first.
slow
start_run 0 info acme/large
first=$launcher
on 1 info acme/large > /dev/null
wait "$first" || fail "the first of two: $?"
[ "$(lists)" = 1 ] && [ "$(asked_bytes model.safetensors)" = "$size" ] || fail "two runs downloaded more than once"
sound large
echo "$conditions conditions"
