#!/usr/bin/env bash
# Profiles from the command line: listed, shown, made and checked, alone and on two ranks; every refusal with its code
# and its place in the document, and nothing written by it.
. "$(dirname "$0")/lib.sh"
small=$LLMQ_TEST_DATA/stories260k   # rows of 64 weights: too short for the types of less than 4.5 bits
export LLM_QUANTIZE_PROFILE_DIR=$work/profiles HOME=$work/home
mkdir profiles home
outputs() { find . -name '*.dqprofile*' -o -name '*.gguf*' -o -name '.llmq*' | sort; }
has() { grep -qF -e "$2" "$1" || { cat "$1"; fail "$1 does not say: $2"; }; }

# --- list: exactly the presets, then what is in the directory; a broken file is told, and no error
cat > presets.txt << 'END'
  attention-high    Attention layers at 4-bit, MLP at 2-bit
  balanced          Even distribution based on importance
  compression-max   Minimize size while maintaining coherence
END
for ranks in 1 2; do
  on $ranks profile list > list.txt
  cmp list.txt presets.txt || { cat list.txt; fail "the list of presets on $ranks ranks"; }
done
on 1 profile list --format json > list.json
has list.json '"source": "preset"'
on 1 profile show attention-high --format json | sed 's/"profile_id": .*/"profile_id": "mine",/; s/"description": .*/"description": "My own",/' > profiles/mine.dqprofile
echo '{' > profiles/broken.dqprofile
on 1 profile list > list.txt 2> err.txt
head -n 3 list.txt | cmp - presets.txt || fail "presets come first"
[ "$(sed -n 5p list.txt)" = "  mine              My own" ] || { cat list.txt; fail "the profile of the directory"; }
has list.txt '  broken            unusable: '
on 1 profile list --format json > list.json
has list.json '"source": "user"'
has list.json '"problem": "'
mkdir -p home/.config/llm-quantize/profiles && cp profiles/mine.dqprofile home/.config/llm-quantize/profiles/at-home.dqprofile
env -u LLM_QUANTIZE_PROFILE_DIR "$LLMQ_BIN" profile list > list.txt
has list.txt '  at-home           My own'

# --- show: by name from the directory, by path, a preset; JSON is a profile again
on 1 profile show mine > show.txt; has show.txt 'model.layers.*.self_attn'
on 2 profile show balanced > show.txt; has show.txt '3.5 bits a weight'
on 1 profile show balanced --format json > again.dqprofile
on 1 --format json profile show again.dqprofile > again.json
cmp again.dqprofile again.json || fail "a profile that is shown and read again differs"
expect 13 profile show nowhere
has err.txt 'Profiles: attention-high, balanced, compression-max, broken, mine'
expect 13 profile show balance
has err.txt 'Did you mean "balanced"?'
expect 13 profile show broken
expect 2 profile show
expect 2 profile

# --- create: the same bytes on any number of ranks, a file that fits the model
"$LLMQ_BIN" --verbosity quiet analyze "$model" "${few[@]}" -o m.imatrix > /dev/null
create=(profile create --imatrix m.imatrix)
for ranks in 1 2 3; do
  on $ranks --format json "${create[@]}" --name made -o made$ranks.dqprofile > made.json
  same made1.dqprofile made$ranks.dqprofile
done
has made.json '"output_path": "made3.dqprofile"'
has made1.dqprofile '"target_bpw": 3.5'
has made1.dqprofile '"layer_name": "model.layers.3"'
"$LLMQ_BIN" --verbosity quiet analyze "$model" --calibration-samples 0 --merge m.imatrix --imatrix-format gguf -o m.gguf.imatrix > /dev/null
on 1 profile create --imatrix m.gguf.imatrix --name made -o gguf.dqprofile > /dev/null
has gguf.dqprofile '"layer_name": "model.layers.3"'
# With a model single changes are measured, which takes as long as it has layers.
"$LLMQ_MAKE_MODEL" two "$model" 2 256 512
"$LLMQ_BIN" --verbosity quiet analyze two "${few[@]}" -o two.imatrix > /dev/null
measured=(profile create --imatrix two.imatrix --model two)
on 1 "${measured[@]}" --name 'My own' --target-size 0.25 > out.txt
has 'My own.dqprofile' '"target_compression": 0.25'
has 'My own.dqprofile' '"profile_id": "my-own"'
on 1 "${measured[@]}" --name bytes --target-size 1MiB > /dev/null
on 1 "${create[@]}" --name bits --target-bpw 2.75 > /dev/null
cp bits.dqprofile kept.dqprofile
expect 2 "${create[@]}" --name bits
expect 2 "${create[@]}" --name m -o m.imatrix --force
expect 2 "${create[@]}" --name a/b
expect 2 "${create[@]}" --name ''
expect 2 "${create[@]}" --name x -o /proc/nowhere/x.dqprofile
for size in 0 1.5 2x 10 -1MB 0B 1TB ''; do expect 2 "${create[@]}" --name x --target-size="$size"; done
expect 2 "${create[@]}" --name x --target-size 1MB
has err.txt '--model'
expect 2 "${create[@]}" --name x --target-size 0.2 --target-bpw 3
expect 2 "${create[@]}" --name x --target-bpw 1.4
expect 2 "${create[@]}" --name x --target-bpw nan
expect 2 profile create --name x
expect 10 profile create --imatrix nowhere --name x
expect 10 "${create[@]}" --name x --model "$small"
expect 3 "${create[@]}" --name x --model nowhere
expect 13 "${measured[@]}" --name x --target-size 300KB
has err.txt '/target_compression: '
expect 13 "${measured[@]}" --name x --target-size 9MB
expect 13 "${create[@]}" --name x --target-size 0.05
expect 13 "${measured[@]}" --name x --target-bpw 1.5
has err.txt '/target_bpw: '
cmp -s bits.dqprofile kept.dqprofile || fail "an existing profile was changed"
on 1 "${create[@]}" --name bits --target-bpw 2.5 --force > /dev/null
cmp -s bits.dqprofile kept.dqprofile && fail "--force changed nothing"

# --- validate: fits, or what does not, tensor by tensor
for profile in attention-high balanced compression-max mine made1.dqprofile 'My own.dqprofile' bytes.dqprofile; do
  of=$model; case $profile in My*|bytes*) of=two ;; esac
  on 1 profile validate "$profile" "$of" > out.txt || { cat out.txt; fail "$profile does not fit"; }
  has out.txt "Profile $profile fits"
done
on 2 profile validate balanced "$model" --format json > fits.json
has fits.json '"status": "success"'
has fits.json '"problems": []'
for ranks in 1 2; do
  code=0; on $ranks profile validate attention-high "$small" > table.txt 2> err.txt || code=$?
  [ $code = 13 ] || fail "a misfit gave $code on $ranks ranks"
  has table.txt '/layer_assignments/3/bit_width  blk.4.ffn_down.weight  2 allows 2.625 bits a weight'
  has err.txt 'Error (ProfileError): profile attention-high does not fit'
  code=0; on $ranks profile validate attention-high "$small" --format json > misfit.json 2> err.txt || code=$?
  [ $code = 13 ] || fail "a misfit in JSON gave $code on $ranks ranks"
  [ "$(grep -c '^{' misfit.json)" = 1 ] || fail "one document, not two"
  has misfit.json '"error_code": 13'
  has misfit.json '"tensor": "blk.0.ffn_up.weight"'
done
expect 3 profile validate balanced nowhere
expect 13 profile validate nowhere "$model"

# --- malformed: the place is in the message, human and JSON
bad() {   # bad POINTER MEMBERS: a document with these members is refused at this place
  printf '{"profile_id": "t", "profile_name": "t", "strategy": "custom", %s}\n' "$2" > bad.json
  expect 13 profile validate bad.json "$model"
  has err.txt "bad.json: $1: "
}
bad /layer_assignments/0/bit_width '"layer_assignments": [{"layer_name": "lm_head", "bit_width": 1.4}]'
bad /layer_assignments/0/bit_width '"layer_assignments": [{"layer_name": "lm_head", "bit_width": 17}]'
bad /layer_assignments/0/tensor_types/output '"layer_assignments": [{"layer_name": "lm_head", "bit_width": 4, "tensor_types": {"output": "Q4_9"}}]'
bad /layer_assignments/1/layer_name '"layer_assignments": [{"layer_name": "a", "bit_width": 4}, {"layer_name": "a", "bit_width": 4}]'
bad /target_bpw '"layer_assignments": [], "target_bpw": 0.5'
bad /target_compression '"layer_assignments": [], "target_compression": 2'
bad /layers '"layer_assignments": [], "layers": []'
misfit() {   # misfit POINTER MEMBERS: well-formed, and does not fit
  printf '{"profile_id": "t", "profile_name": "t", "strategy": "custom", %s}\n' "$2" > bad.json
  code=0; on 1 profile validate bad.json "$model" > table.txt 2> /dev/null || code=$?
  [ $code = 13 ] || fail "$2 gave $code"
  has table.txt "  $1  "
}
misfit /layer_assignments/0/layer_name '"layer_assignments": [{"layer_name": "model.layers.4", "bit_width": 4}]'
misfit /target_bpw '"layer_assignments": [], "target_bpw": 1.55'
misfit /target_compression '"layer_assignments": [], "target_compression": 0.05'

# --- as a step of a job: the bytes of the command, skipped when it is done, and no file of others is lost
cat > job.json << END
{"version": 1, "name": "profiles", "steps": [
  {"id": "p", "type": "profile", "imatrix": "m.imatrix", "name": "made", "target-bpw": 2.75, "output": "job.dqprofile"},
  {"id": "c", "type": "profile", "imatrix": "two.imatrix", "name": "made", "model": "two", "target-size": "1MB"}]}
END
job=(run job.json --checkpoint-dir cp)
cp kept.dqprofile made.dqprofile
expect 2 "${job[@]}"
has err.txt 'made.dqprofile: exists already'
rm made.dqprofile
on 2 --format json "${job[@]}" > job1.out
on 1 "${create[@]}" --name made --target-bpw 2.75 -o alone.dqprofile > /dev/null
same job.dqprofile alone.dqprofile
on 1 --format json "${job[@]}" > job2.out
[ "$(grep -c '"status": "skipped"' job2.out)" = 2 ] || { cat job2.out; fail "finished profiles were made again"; }
sed -i 's/2\.75/2.5/' job.json
on 1 --format json "${job[@]}" > job3.out
[ "$(grep -c '"status": "skipped"' job3.out)" = 1 ] || { cat job3.out; fail "a changed target"; }
cmp -s job.dqprofile alone.dqprofile && fail "the profile did not change"

for help in "profile --help" "profile list --help" "profile show --help" "profile create --help" "profile validate --help"; do
  # shellcheck disable=SC2086
  "$LLMQ_BIN" $help | grep Example > /dev/null || fail "$help has no examples"
done
echo "$conditions conditions have their code"
