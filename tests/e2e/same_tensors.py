#!/usr/bin/env python3
"""same_tensors.py A B: fails unless two checkpoint directories hold the same tensors: names, number formats, shapes, bytes.
Order and division into files do not matter. A reader of its own, not the tool's."""
import glob, json, struct, sys


def read(directory):
    tensors = {}
    for path in glob.glob(directory + "/*.safetensors"):
        data = open(path, "rb").read()
        size = struct.unpack("<Q", data[:8])[0]
        for name, info in json.loads(data[8:8 + size]).items():
            if name == "__metadata__":
                continue
            begin, end = info["data_offsets"]
            assert name not in tensors, name
            tensors[name] = (info["dtype"], info["shape"], data[8 + size + begin:8 + size + end])
    return tensors


a, b = read(sys.argv[1]), read(sys.argv[2])
differences = [f"{name} is only in {sys.argv[1] if name in a else sys.argv[2]}" for name in sorted(a.keys() ^ b.keys())]
for name in sorted(a.keys() & b.keys()):
    if a[name][:2] != b[name][:2]:
        differences.append(f"{name}: {a[name][:2]} and {b[name][:2]}")
    elif a[name][2] != b[name][2]:
        differences.append(f"{name}: other values")
if differences or not a:
    sys.exit("\n".join(differences[:10] or ["no tensors"]))
print(len(a), "tensors")
