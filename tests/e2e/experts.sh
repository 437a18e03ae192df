#!/usr/bin/env bash
# Models with experts: importance of each expert, the same bytes on any number of ranks and grids, experts no token was given to,
# files of every kind of level, and what is refused.
. "$(dirname "$0")/lib.sh"
for class in Mixtral Qwen2Moe Qwen3Moe; do "$LLMQ_MAKE_MODEL" $class "$model" 2 256 512 ${class}ForCausalLM; done
samples=(--calibration-samples 6 --ctx 64)

# Every class on every grid with LLMQ_ALL, else each on one of them.
declare -A grid_of=([Mixtral]="2 1" [Qwen2Moe]="3 1" [Qwen3Moe]="2 2")
grids_of() {
  grids=("${grid_of[$1]}")
  [ -z "${LLMQ_ALL:-}" ] || grids=("${grid_of[@]}")
}
for class in Mixtral Qwen2Moe Qwen3Moe; do
  on 1 analyze $class "${samples[@]}" -o $class.imatrix > /dev/null
  grids_of $class
  for grid in "${grids[@]}"; do
    read -r ranks groups <<< "$grid"
    on "$ranks" analyze $class "${samples[@]}" --layer-groups "$groups" -o other.imatrix > /dev/null
    same $class.imatrix other.imatrix
  done
  on 1 quantize $class gguf -q IQ2_XS --imatrix $class.imatrix -n $class > /dev/null
  on 3 quantize $class gguf -q IQ2_XS --imatrix $class.imatrix -n other --force > /dev/null
  same $class.gguf other.gguf
  on 2 --format json quality report $class $class.gguf --chunks 4 --ctx 64 --include-layers > report.json
  python3 - << 'PY' || fail "$class: report"
import json
report = json.load(open("report.json"))
assert 0 < report["metrics"]["kld_mean"] < 2, report["metrics"]
experts = [t for t in report["tensor_errors"] if "_exps" in t["tensor_name"]] if "tensor_name" in report["tensor_errors"][0] else [t for t in report["tensor_errors"] if "_exps" in str(t)]
assert len(experts) == 6 and all(t["mse"] > 0 for t in experts), experts
PY
done

# info: of 6 experts 3 work on a token, and the shared one.
on 1 --format json info Qwen2Moe > info.json
on 1 --format json info Qwen2Moe.gguf > info-gguf.json
python3 - << 'PY' || { cat info.json; fail "info of a model with experts"; }
import json
for name in "info.json", "info-gguf.json":
    info = json.load(open(name))
    config = json.load(open("Qwen2Moe/config.json"))
    idle = 2 * 3 * 3 * config["hidden_size"] * config["moe_intermediate_size"]  # layers, experts left out, matrices
    assert info["active_parameter_count"] == info["parameter_count"] - idle, info
    assert (info["num_experts"], info["num_experts_used"], info["shared_expert"]) == (6, 3, True), info
PY
on 1 info Qwen2Moe | grep -q 'experts  *6 a layer, 3 a token, one shared' || fail "info for people"

# llama.cpp's form has the counts of each expert, and adds up to the tokens times the experts of a token.
on 1 analyze Qwen3Moe "${samples[@]}" --imatrix-format gguf -o counts.gguf > /dev/null
on 1 quantize Qwen3Moe gguf -q IQ2_XS --imatrix counts.gguf -n by-gguf > /dev/null
on 1 --format json info Qwen3Moe.imatrix > info.json
python3 - << 'PY' || fail "counts of experts"
import struct
data = open("counts.gguf", "rb").read()
name = b"blk.0.ffn_gate_exps.weight.counts"
at = data.index(name) + len(name)
dims = struct.unpack_from("<I", data, at)[0]
extents = struct.unpack_from(f"<{dims}Q", data, at + 4)
assert 8 in extents, extents
PY

# A text of two tokens does not reach all of eight experts: named, and quantized with the mean of the others.
"$LLMQ_BIN" analyze Qwen3Moe --calibration-samples 1 --ctx 2 -o few.imatrix > few.txt 2> few.err
grep -q 'saw no token .*ffn_gate_exps' few.err || { cat few.err; fail "experts without a token are not named"; }
on 1 --format json info few.imatrix | grep -q 'blk.0.ffn_gate_exps.weight\[' || fail "info does not name them"
"$LLMQ_BIN" quantize Qwen3Moe gguf -q IQ2_XS --imatrix few.imatrix -n few > /dev/null 2> few.err
grep -q 'ffn_gate_exps' few.err || { cat few.err; fail "quantize does not name them"; }

# Fed with all tokens no expert is without, the counts are those of the text, and what the layers compute is the same.
"$LLMQ_BIN" analyze Qwen3Moe --calibration-samples 1 --ctx 2 --moe-all-experts -o all.imatrix > /dev/null 2> all.err
grep -q 'saw no token' all.err && { cat all.err; fail "an expert without a token in spite of --moe-all-experts"; }
on 4 analyze Qwen3Moe "${samples[@]}" --moe-all-experts --layer-groups 2 -o all-4.imatrix > /dev/null
on 1 analyze Qwen3Moe "${samples[@]}" --moe-all-experts -o all.imatrix > /dev/null
same all.imatrix all-4.imatrix
cmp -s all.imatrix Qwen3Moe.imatrix && fail "--moe-all-experts changed nothing"
on 1 analyze Qwen3Moe "${samples[@]}" --moe-all-experts --imatrix-format gguf -o all.gguf > /dev/null
python3 - << 'PY' || fail "counts with all experts"
import struct
def counts(path):
    data = open(path, "rb").read()
    found = {}
    at, (tensors, keys) = 24, struct.unpack_from("<QQ", data, 8)
    def text(at):
        n = struct.unpack_from("<Q", data, at)[0]
        return data[at + 8:at + 8 + n].decode(), at + 8 + n
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    def value(at, kind):
        if kind == 8: return text(at)[1]
        if kind == 9:
            of, n = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(n): at = value(at, of)
            return at
        return at + sizes[kind]
    for _ in range(keys):
        _, at = text(at)
        at = value(at + 4, struct.unpack_from("<I", data, at)[0])
    places = []
    for _ in range(tensors):
        name, at = text(at)
        dims = struct.unpack_from("<I", data, at)[0]
        extents = struct.unpack_from(f"<{dims}Q", data, at + 4)
        at += 4 + 8 * dims + 4
        places.append((name, extents, struct.unpack_from("<Q", data, at)[0]))
        at += 8
    start = (at + 31) // 32 * 32
    for name, extents, offset in places:
        if not name.endswith("_exps.weight.counts"): continue
        n = 1
        for extent in extents: n *= extent
        found[name] = struct.unpack_from(f"<{n}f", data, start + offset)
    return found
every, given = counts("all.gguf"), counts("counts.gguf")
assert len(every) == len(given) == 6, (every.keys(), given.keys())
tokens = 6 * 64
for name in every:
    assert every[name] == (tokens,) * 8, (name, every[name])
    assert sum(given[name]) == 2 * tokens, (name, given[name])  # two experts a token
PY
"$LLMQ_BIN" analyze "$model" --calibration-samples 1 --ctx 8 --moe-all-experts -o none.imatrix > /dev/null 2> none.err
grep -q 'this model has no experts' none.err || fail "--moe-all-experts of a model without experts is not told"

# Gradients: of each expert's matrices, the same on any grid; files of a level made with them.
for class in Mixtral Qwen2Moe; do
  on 1 analyze $class "${samples[@]}" --method fisher -o fisher.imatrix > /dev/null
  grids_of $class
  for grid in "${grids[@]}"; do
    read -r ranks groups <<< "$grid"
    on "$ranks" analyze $class "${samples[@]}" --method fisher --layer-groups "$groups" -o other.imatrix > /dev/null
    same fisher.imatrix other.imatrix
  done
  on 1 quantize $class gguf -q IQ2_XS --imatrix fisher.imatrix -n fisher --force > /dev/null
done

# A planted super weight of an expert is found, its row is counted through all experts, and its block is protected.
cp -r Qwen3Moe planted
"$LLMQ_PLANT_MODEL" planted spike 0.experts.5 100 7 40 40
on 2 --format json analyze planted "${samples[@]}" --identify-super-weights -o planted.imatrix > planted.json
python3 - << 'PY' || { cat planted.json; fail "the planted super weight of an expert"; }
import json
spikes = json.load(open("planted.json"))["super_weights"]["spikes"]
assert [(s["tensor"], s["row"], s["column"]) for s in spikes] == [("blk.0.ffn_down_exps.weight", 5 * 256 + 100, 7)], spikes
PY
on 1 analyze Qwen3Moe "${samples[@]}" --identify-super-weights -o none.imatrix --format json > none.json
grep -q '"spikes": \[\]' none.json || { cat none.json; fail "super weights in a model of experts that has none"; }

# A checkpoint that keeps all experts of a layer in two tensors is the same model, and goes back to one tensor a matrix.
cp -r Qwen3Moe stacked
python3 - stacked/model.safetensors << 'PY'
import json, re, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
head = json.loads(data[8:8 + size])
body = data[8 + size:]
raw = lambda name: body[head[name]["data_offsets"][0]:head[name]["data_offsets"][1]]
layers = sorted({m[1] for name in head if (m := re.match(r"(.*\.mlp\.experts)\.\d+\.", name))})
tensors = {name: (v["dtype"], v["shape"], raw(name)) for name, v in head.items()
           if name != "__metadata__" and ".mlp.experts." not in name}
for layer in layers:
    n = 1 + max(int(m[1]) for name in head if (m := re.match(re.escape(layer) + r"\.(\d+)\.", name)))
    part = lambda e, role: raw(f"{layer}.{e}.{role}_proj.weight")
    one = head[f"{layer}.0.up_proj.weight"]
    ffn, hidden = one["shape"]
    tensors[layer + ".gate_up_proj"] = (one["dtype"], [n, 2 * ffn, hidden], b"".join(part(e, "gate") + part(e, "up") for e in range(n)))
    tensors[layer + ".down_proj"] = (one["dtype"], [n, hidden, ffn], b"".join(part(e, "down") for e in range(n)))
new, at = {}, 0
for name, (dtype, shape, content) in tensors.items():
    new[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]}
    at += len(content)
text = json.dumps(new).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + b"".join(c for _, _, c in tensors.values()))
PY
on 1 analyze stacked "${samples[@]}" -o stacked.imatrix > /dev/null
on 1 quantize Qwen3Moe gguf -q Q4_K_M --pure -n one-each > /dev/null
on 3 quantize stacked gguf -q Q4_K_M --pure -n stacked > /dev/null
content() { python3 "$LLMQ_TEST_DATA/../e2e/gguf_content.py" "$1" | grep -v 'source_fingerprint\|general.name'; }
[ "$(content one-each.gguf)" = "$(content stacked.gguf)" ] || fail "stacked experts are another model"
on 2 quantize stacked gguf -q BF16 -n stacked-bf16 > /dev/null
on 1 convert stacked-bf16.gguf hf -n apart > /dev/null
python3 "$LLMQ_TEST_DATA/../e2e/same_tensors.py" Qwen3Moe apart || fail "stacked experts do not come apart"
cp -r stacked wrong
sed -i 's/"moe_intermediate_size":256/"moe_intermediate_size":128/' wrong/config.json
expect 6 analyze wrong -o out.imatrix

# W8A8 leaves experts and routers as they are, all of them.
on 2 quantize Qwen2Moe smoothquant --imatrix Qwen2Moe.imatrix -n w8a8 > /dev/null
on 1 quantize Qwen2Moe smoothquant --imatrix Qwen2Moe.imatrix -n w8a8-alone > /dev/null
same w8a8/model.safetensors w8a8-alone/model.safetensors
grep -q '"re:model\\\\.layers\\\\.1\\\\.mlp\\\\.experts\\\\.\\\\d+\\\\.up_proj"' w8a8/config.json || fail "experts are not in the list"
on 1 --format json quality report Qwen2Moe w8a8 --chunks 4 --ctx 64 > w8a8.json
grep -q '"kld_mean": 0.00' w8a8.json || { grep kld_mean w8a8.json; fail "W8A8 of a model with experts"; }

# What is refused: an odd number of experts, more experts a token than there are, shares that do not add up.
cp -r Qwen3Moe odd
sed -i 's/"num_experts_per_tok":2/"num_experts_per_tok":9/' odd/config.json
expect 6 analyze odd -o out.imatrix
sed -i 's/"num_experts_per_tok":9/"num_experts_per_tok":2/; s/"num_experts":8/"num_experts":9/' odd/config.json
expect 6 analyze odd -o out.imatrix
sed -i 's/"num_experts":9/"num_experts":8/; s/"norm_topk_prob":true/"norm_topk_prob":false/' odd/config.json
expect 8 analyze odd -o out.imatrix
echo "$conditions conditions"
