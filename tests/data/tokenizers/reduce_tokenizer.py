#!/usr/bin/env python3
"""Cuts a byte-level BPE tokenizer.json down to what the test records can touch: reduce_tokenizer.py IN RECORDS OUT.

Kept: the single-byte tokens, and every token and merge whose text occurs (in the byte alphabet) somewhere in a record.
Ids stay the original ones; gaps are padded by the reader. Any merge that could apply to a record is kept, so the
ids of the records do not change."""
import json
import sys


def byte_alphabet():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, spare = {}, 256
    for byte in range(256):
        table[byte] = chr(byte) if byte in plain else chr(spare)
        spare += byte not in plain
    return table


alphabet = byte_alphabet()
source = json.load(open(sys.argv[1], encoding="utf-8"))
records = "".join(alphabet[b] for b in open(sys.argv[2], "rb").read())
vocab, merges = source["model"]["vocab"], source["model"]["merges"]
pair = lambda merge: merge.split(" ") if isinstance(merge, str) else merge
source["model"]["vocab"] = {t: i for t, i in vocab.items() if len(t) == 1 or t in records}
source["model"]["merges"] = [m for m in merges if "".join(pair(m)) in records]
json.dump(source, open(sys.argv[3], "w", encoding="utf-8"), ensure_ascii=False, indent=0)
