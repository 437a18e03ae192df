#!/usr/bin/env bash
# What a user changes about a level: types of tensors by options, by a file and in a job, metadata; the same bytes
# whichever way it is said and on any number of ranks. And the plan of --dry-run, whose bytes are those of the file.
. "$(dirname "$0")/lib.sh"

rules=(--tensor-type 'attn_q=Q8_0' --tensor-type 'BLK\.[12]\.ffn_down=q5_0' --tensor-type 'blk\.1\.=F16')
cat > rules.json <<'END'
{"version": 1, "rules": [{"pattern": "attn_q", "type": "Q8_0"}, {"pattern": "BLK\\.[12]\\.ffn_down", "type": "Q5_0"},
                         {"pattern": "blk\\.1\\.", "type": "F16"}]}
END

# type_in FILE.json TENSOR: from a JSON result
type_in() { grep -A 1 "\"name\": \"$2\"" "$1" | sed -n 's/.*"type": "\(.*\)".*/\1/p'; }
expect_type() { [ "$(type_in "$1" "$2")" = "$3" ] || fail "$1: $2 is $(type_in "$1" "$2"), not $3"; }

# --- one recipe said in three ways, on one, two and three ranks
on 1 --format json quantize "$model" gguf -q Q4_K_M "${rules[@]}" -n options > options.json
on 2 quantize "$model" gguf -q Q4_K_M "${rules[@]}" -n two > /dev/null
on 3 quantize "$model" gguf -q Q4_K_M --layer-bits rules.json -n file > /dev/null
on 1 quantize "$model" gguf -q Q4_K_M --tensor-type 'attn_q=Q8_0' --layer-bits rules.json -n both > /dev/null
cat > job.json <<END
{"version": 1, "name": "recipe", "steps": [
  {"id": "a", "type": "quantize", "model": "$model", "quant-level": "Q4_K_M", "output-name": "job-list",
   "tensor-type": ["attn_q=Q8_0", "BLK\\\\.[12]\\\\.ffn_down=q5_0", "blk\\\\.1\\\\.=F16"]},
  {"id": "b", "type": "quantize", "model": "$model", "quant-level": "Q4_K_M", "output-name": "job-file",
   "layer-bits": "rules.json"},
  {"id": "c", "type": "quantize", "model": "$model", "quant-level": "Q8_0", "output-name": "job-rest", "pure": true,
   "leave-output-tensor": true, "token-embedding-type": "F16", "override-kv": "general.name=str:Job"}]}
END
on 1 run job.json > /dev/null
for name in two file job-list job-file; do same options.gguf $name.gguf; done
expect_type options.json blk.0.attn_q.weight Q8_0
expect_type options.json blk.1.attn_q.weight Q8_0       # the first pattern decides
expect_type options.json blk.2.ffn_down.weight Q5_0
expect_type options.json blk.1.attn_output.weight F16
expect_type options.json blk.3.attn_output.weight Q4_K
"$LLMQ_BIN" info options.gguf | grep 'type_rules.*attn_q' > /dev/null || fail "the rules are not in the file"
# A rule more is another recipe, though it decides the same.
[ "$(sha options.gguf)" != "$(sha both.gguf)" ] || fail "provenance does not tell the rules apart"
# Another file of rules makes the step of the job run again, the same one does not.
on 1 --format json run job.json > again.json
[ "$(grep -c '"status": "skipped"' again.json)" = 3 ] || { cat again.json; fail "a finished step ran again"; }
sed -i 's/"Q8_0"/"Q6_K"/' rules.json
on 1 --format json run job.json > again.json
[ "$(grep -c '"status": "skipped"' again.json)" = 2 ] || { cat again.json; fail "other rules were not seen"; }

# --- both ends, pure
on 1 --format json quantize "$model" gguf -q Q4_K_M --pure --leave-output-tensor --token-embedding-type q8_0 -n ends > ends.json
expect_type ends.json output.weight BF16
expect_type ends.json token_embd.weight Q8_0
expect_type ends.json blk.0.attn_v.weight Q4_K
on 1 --format json quantize "$model" gguf -q Q4_K_M --output-tensor-type q4_0 -n out > out.json
expect_type out.json output.weight Q4_0
on 1 quality report "$model" ends.gguf "${few[@]:0:2}" --ctx 24 > /dev/null || fail "the file cannot be judged"

# --- a pattern that decides nothing, also one that finds norms only
"$LLMQ_BIN" quantize "$model" gguf -q Q8_0 --tensor-type 'no_such=Q4_0' --tensor-type '_norm=Q4_0' -n unused > /dev/null 2> err.txt
for pattern in no_such _norm; do grep "Warning.*\"$pattern\" decides" err.txt > /dev/null || { cat err.txt; fail "$pattern: no warning"; }; done

# --- metadata
on 2 quantize "$model" gguf -q Q8_0 -n meta --override-kv general.name=str:Kiesel --override-kv llama.context_length=int:256 \
  --override-kv my.flag=bool:true > /dev/null
"$LLMQ_BIN" info meta.gguf > info.txt
grep 'name  *Kiesel' info.txt > /dev/null || { cat info.txt; fail "the name"; }
grep 'context  *256' info.txt > /dev/null || { cat info.txt; fail "the context"; }
grep 'overridden_keys: general.name, llama.context_length, my.flag' info.txt > /dev/null || { cat info.txt; fail "provenance"; }
grep -c 'Kiesel' meta.gguf > /dev/null || fail "the name is not in the file"

# --- the plan: tensors, head and padding are the file, byte for byte
sum_of() { grep '^      "bytes"' "$1" | tr -dc '0-9\n' | awk '{ sum += $1 } END { print sum }'; }
field() { sed -n "s/.*\"$2\": \([0-9.e-]*\),*\$/\1/p" "$1" | head -n 1; }
check_plan() {  # MODEL ARGS...
  "$LLMQ_BIN" --verbosity quiet --format json quantize "$@" --dry-run -n planned > plan.json
  [ ! -e planned.gguf ] || fail "--dry-run wrote a file"
  on 1 quantize "$@" -n planned > /dev/null
  [ "$(field plan.json file_size)" = "$(stat -c %s planned.gguf)" ] || fail "$*: another size than planned"
  [ $(($(sum_of plan.json) + $(field plan.json head_bytes) + $(field plan.json padding_bytes))) = "$(field plan.json file_size)" ] ||
    { cat plan.json; fail "$*: the bytes of the plan are not the file"; }
  awk -v seconds="$(field plan.json estimated_seconds)" 'BEGIN { exit !(seconds > 0 && seconds < 60) }' || fail "$*: the time"
  rm planned.gguf
}
for level in Q4_K_M Q8_0 Q4_1 Q5_1 F16; do check_plan "$model" gguf -q $level "${rules[@]}"; done
check_plan "$LLMQ_TEST_DATA/stories260k" gguf -q Q4_K_M --output-tensor-type Q6_K
# Rows of 64 and 172: each fallback with its cost. 172 x 64 weights, Q4_K 4.5 bits, F16 16 bits.
grep -A 7 '"name": "blk.0.ffn_down.weight"' plan.json > down.txt
{ grep '"fallback_from": "Q4_K"' down.txt && grep '"bytes": 15824' down.txt && grep '"bits_per_weight": 11.5' down.txt; } > /dev/null ||
  { cat plan.json; fail "the fallback's cost"; }
on 2 quantize "$LLMQ_TEST_DATA/stories260k" gguf -q Q4_K_M --dry-run > plan.txt
grep 'blk.0.ffn_down.weight *Q4_K *F16 *15,824 *11.500' plan.txt > /dev/null || { cat plan.txt; fail "the fallback in the table"; }
grep 'time  *about' plan.txt > /dev/null || fail "no time"

# --- a run with other rules or metadata does not continue this one
make_large_model large
start_run 1 quantize large gguf -q Q5_K_M --tensor-type 'attn_q=Q8_0' -n resumed --checkpoint-dir cp --checkpoint-interval 0
wait_for "cp/*/journal.*"
kill -USR1 "$launcher"; code=0; wait "$launcher" || code=$?
if [ $code = 75 ]; then
  expect 7 quantize large gguf -q Q5_K_M --tensor-type 'attn_q=Q6_K' -n resumed --resume cp
  grep 'type rules' err.txt > /dev/null || { cat err.txt; fail "the difference is not named"; }
  expect 7 quantize large gguf -q Q5_K_M --tensor-type 'attn_q=Q8_0' --override-kv a=int:1 -n resumed --resume cp
  grep 'override-kv' err.txt > /dev/null || { cat err.txt; fail "the difference is not named"; }
  on 2 --threads 1 quantize large gguf -q Q5_K_M --tensor-type 'attn_q=Q8_0' -n resumed --resume cp > /dev/null
fi
on 2 --threads 1 quantize large gguf -q Q5_K_M --tensor-type 'attn_q=Q8_0' -n whole > /dev/null
[ $code != 75 ] || same whole.gguf resumed.gguf
