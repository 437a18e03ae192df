#!/usr/bin/env python3
"""gguf_content.py FIRST: what a model of one GGUF file or of several holds, a line each: metadata without the keys of
splitting, then tensors in order with type, shape and a hash of their bytes. A reader of its own, not the tool's."""
import hashlib, re, struct, sys

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 12: (256, 144), 14: (256, 210), 30: (1, 2)}  # type: weights, bytes


class Reader:
    def __init__(self, path):
        self.data, self.at = open(path, "rb").read(), 0

    def take(self, form):
        value = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value[0]

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.take("I"), self.take("Q")
            return hashlib.sha256(repr([self.value(inner) for _ in range(count)]).encode()).hexdigest()
        return self.take(NUMBERS[kind])


def read(path):
    reader = Reader(path)
    assert reader.data[:4] == b"GGUF", path
    reader.at = 4
    assert reader.take("I") == 3
    tensors, pairs = reader.take("Q"), reader.take("Q")
    metadata, infos = {}, []
    for _ in range(pairs):
        key = reader.text()
        kind = reader.take("I")
        metadata[key] = (kind, reader.value(kind))
    for _ in range(tensors):
        name, dims = reader.text(), reader.take("I")
        shape = [reader.take("Q") for _ in range(dims)]
        infos.append((name, shape, reader.take("I"), reader.take("Q")))
    start = (reader.at + 31) // 32 * 32
    lines, end = [], reader.at
    for name, shape, kind, offset in infos:
        count = 1
        for extent in shape:
            count *= extent
        size = count // BLOCKS[kind][0] * BLOCKS[kind][1]
        assert start + offset == (end + 31) // 32 * 32, name
        end = start + offset + size
        lines.append(f"{name} {kind} {shape} {hashlib.sha256(reader.data[start + offset:end]).hexdigest()}")
    assert len(reader.data) == (end + 31) // 32 * 32 if infos else end, path
    return metadata, lines


metadata, lines = read(sys.argv[1])
count = metadata.get("split.count", (2, 1))[1]
for number in range(1, count):
    name = re.sub(r"-00001-of-\d{5}\.gguf$", f"-{number + 1:05}-of-{count:05}.gguf", sys.argv[1])
    keys, more = read(name)
    assert keys == {"split.no": (2, number), "split.count": (2, count), "split.tensors.count": metadata["split.tensors.count"]}, keys
    lines += more
if "split.count" in metadata:
    assert metadata.pop("split.no") == (2, 0)
    assert metadata.pop("split.count") == (2, count)
    assert metadata.pop("split.tensors.count") == (5, len(lines))
for key, (kind, value) in metadata.items():
    print(key, kind, value)
print("\n".join(lines))
