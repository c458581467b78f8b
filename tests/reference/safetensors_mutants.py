#!/usr/bin/env python3
"""safetensors_mutants.py VERDICTS FOLDER [COUNT [SEED]] - our reader against the PyPI package safetensors.

Damages good files in COUNT ways (1,000,000), gives each to the package and, through the program
VERDICTS (tests/long/safetensors_verdicts.c), to our reader. We must accept exactly what the package
accepts and no rule of ours forbids (schemas/safetensors.md, "Stricter than others"); those rules are written
down here once more, in stricter(). What both accept must have the same names, dtypes, shapes and
bytes. Then COPIES good files are copied by our reader and writer: the package must find the same in
the copy, and a copy of the copy has the same bytes. Prints how many were accepted, and refused by
which rule alone; exits 1 at a difference, which stays in FOLDER/difference.safetensors.
safetensors 0.8.0.
"""
import collections
import json
import os
import random
import struct
import subprocess
import sys
import zlib

import safetensors

DTYPES = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8,
          "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
FOREIGN = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F4": 0.5, "F6_E2M3": 0.75, "C64": 8, "I128": 16,
           "f32": 4, "": 1}
MEMBERS = ("dtype", "shape", "data_offsets")
BATCH = 20000
COPIES = 200

# What takes the place of a token of the header.
TOKENS = ["0", "1", "2", "4", "8", "-1", "-0", "1.0", "1.5", "1e0", "1E2", "01", "+1", ".5", "1.",
          "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615",
          "18446744073709551616", "1e400", "null", "true", "NaN", "{}", "[]", "[0,0]", "[1]", "[[]]", '""', '"a"',
          '"w"', '"F32"', '"U8"', '"F8_E4M3"', '"dtype"', '"shape"', '"data_offsets"', '"__metadata__"',
          '"\\u0061"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '"\t"', "'a'", ",", ":",
          "{", "}", "[", "]", " ", "\n", "\0", "\ufeff", "\u00a0", "//", '{"a":{"b":[1,2,{}]}}',
          '["U8",[1],[0,1]]', '"x":1,', "[" * 130, "\u00e9"]


class Pairs(list):
    """An object with its members in their order, duplicates too."""


def tokens_of(text):
    out, at = [], 0
    while at < len(text):
        end = at + 1
        if text[at] == '"':
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            end += 1
        elif text[at] not in '{}[],: "':
            while end < len(text) and text[end] not in '{}[],: "':
                end += 1
        out.append(text[at:end])
        at = end
    return out


def assemble(rng, tensors, metadata):
    """Header text and values; tensors are (name, dtype, shape, bytes) in the order of the file."""
    at, members = 0, []
    for name, dtype, shape, size in tensors:
        info = [("dtype", json.dumps(dtype)), ("shape", json.dumps(shape)),
                ("data_offsets", "[%d,%d]" % (at, at + size))]
        if rng.random() < 0.003:
            members.append("%s:[%s]" % (json.dumps(name), ",".join(value for _, value in info)))
        else:
            rng.shuffle(info)
            members.append("%s:{%s}" % (json.dumps(name), ",".join('"%s":%s' % m for m in info)))
        at += size
    rng.shuffle(members)
    if metadata is not None or rng.random() < 0.003:
        members.insert(rng.randrange(len(members) + 1), '"__metadata__":%s' % json.dumps(metadata))
    return "{%s}%s" % (",".join(members), " " * rng.choice((0, 0, 3))), rng.randbytes(at)


def good_file(rng):
    tensors = []
    for i in range(rng.randrange(5)):
        kind = FOREIGN if rng.random() < 0.03 else DTYPES
        dtype = rng.choice(list(kind))
        shape = [rng.choice((0, 1, 2, 2, 3)) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 8, 9)))]
        count = 1
        for side in shape:
            count *= side
        size = int(count * kind[dtype])
        if size > 4096:
            continue
        name = rng.choice(("w%d" % i, "layer.%d.weight" % i, "\u00e9%d" % i, "a"))
        if rng.random() < 0.01:
            name = rng.choice(("", "x\0y", "\n"))
        tensors.append((name, dtype, shape, size))
    metadata = rng.choice((None, None, {}, {"format": "pt"}, {"a": "1", "b": "\u00e9\n"}))
    return assemble(rng, tensors, metadata)


def mutate_bytes(rng, data):
    at = rng.randrange(len(data) + 1)
    what = rng.randrange(6)
    if what == 0 and at < len(data):
        return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1:]
    if what == 1 and at < len(data):
        return data[:at] + rng.randbytes(1) + data[at + 1:]
    if what == 2:
        return data[:at] + rng.choice((b" ", b"\0", b"0", b"\xff", b"}", b"\xed\xa0\x80")) + data[at:]
    if what == 3:
        return data[:at] + data[at + rng.choice((1, 1, 2, 4)):]
    if what == 4:
        return data[:at]
    end = min(len(data), at + rng.randrange(1, 40))
    return data[:end] + data[at:end] + data[end:]


def mutate_number(rng, tokens):
    places = [i for i, token in enumerate(tokens) if token.isdigit()]
    if places:
        i = rng.choice(places)
        tokens[i] = str(max(0, int(tokens[i]) + rng.choice((-8, -4, -2, -1, 1, 2, 4, 8))))
        if rng.random() < 0.3:
            j = rng.choice(places)
            tokens[i], tokens[j] = tokens[j], tokens[i]


def mutate_tokens(rng, text):
    tokens = tokens_of(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        i = rng.randrange(len(tokens))
        what = rng.randrange(6)
        if what == 0:
            tokens[i] = rng.choice(TOKENS)
        elif what == 1:
            tokens.insert(i, rng.choice(TOKENS))
        elif what == 2 and len(tokens) > 1:
            del tokens[i]
        elif what == 3:
            j = rng.randrange(len(tokens))
            tokens[i], tokens[j] = tokens[j], tokens[i]
        elif what == 4:
            tokens[i:i] = tokens[i:min(len(tokens), i + rng.randrange(1, 24))] + [","]
        else:
            mutate_number(rng, tokens)
    return "".join(tokens)


def mutant(rng, text, values):
    """One damaged file, the size of its header put right in most cases."""
    what = rng.randrange(10)
    if what == 0:
        return mutate_bytes(rng, struct.pack("<Q", len(text.encode())) + text.encode() + values)
    if what <= 7:
        header = mutate_tokens(rng, text).encode("utf-8", "surrogatepass")
    elif what == 8:
        header = mutate_bytes(rng, text.encode())
    else:
        header = text.encode()
        values = values + b"\0" if rng.random() < 0.5 else values[:-1]
    size = len(header)
    if rng.random() < 0.02:
        size = rng.choice((0, 1, 7, 8, size - 1, size + 1, size + len(values), 2**63, 2**64 - 1,
                           100000001)) % 2**64
    return struct.pack("<Q", size) + header + values


def has_duplicates(pairs):
    keys = [key for key, _ in pairs]
    return len(set(keys)) != len(keys)


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, Pairs):
        for key, member in value:
            yield key
            yield from strings_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings_of(member)


def stricter(data):
    """The rule of ours that forbids a file which the package accepts, or None."""
    text = data[8:8 + struct.unpack("<Q", data[:8])[0]].decode()
    if len(text) > 16 << 20:
        return "header over 16 MiB"
    if text[0] != "{":
        return "white space in front of the header"
    try:
        header = json.loads(text, object_pairs_hook=Pairs)
    except RecursionError:
        return "depth"
    if any("\0" in string for string in strings_of(header)):
        return "U+0000"
    if has_duplicates(header):
        return "duplicate names"
    for name, info in header:
        if name == "__metadata__":
            if info is None:
                return "metadata null"
            if has_duplicates(info):
                return "duplicate metadata"
            continue
        if name == "":
            return "empty name"
        if not isinstance(info, Pairs):
            return "tensor as an array"
        if any(key not in MEMBERS for key, _ in info):
            return "unknown member"
        info = dict(info)
        if info["dtype"] not in DTYPES:
            return "dtype"
        if len(info["shape"]) > 8:
            return "rank"
    return None


def verdict_of_package(data):
    """What our program would print, or None when the package refuses."""
    try:
        tensors = safetensors.deserialize(data)
    except BaseException as problem:  # a panic of Rust is no Exception
        if isinstance(problem, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        return None
    return sorted("%s:%s:%s:%d" % (name.encode().hex(), info["dtype"],
                                   ",".join(map(str, info["shape"])), zlib.adler32(bytes(info["data"])))
                  for name, info in tensors)


def compare(data, line, counts):
    """None, or what is different."""
    theirs = verdict_of_package(data)
    rule = stricter(data) if theirs is not None else None
    if line.startswith("ok"):
        counts["accepted"] += 1
        if theirs is None:
            return "we accept what the package refuses"
        if rule:
            return "we accept against our own rule: %s" % rule
        if sorted(line.split()[1:]) != theirs:
            return "other content: %s, the package %s" % (line, theirs)
        return None
    if theirs is None:
        counts["refused by both"] += 1
        return None
    if rule is None:
        return "we refuse what the package accepts: %s" % line
    counts["our rule: " + rule] += 1
    return None


def check_copies(program, folder, rng):
    names = [os.path.join(folder, name) for name in ("difference.safetensors", "copy", "again")]
    for _ in range(COPIES):
        text, values = good_file(rng)
        data = struct.pack("<Q", len(text.encode())) + text.encode() + values
        theirs = verdict_of_package(data)
        if theirs is None or stricter(data):
            continue
        with open(names[0], "wb") as file:
            file.write(data)
        subprocess.run([program, "copy", names[0], names[1]], check=True)
        subprocess.run([program, "copy", names[1], names[2]], check=True)
        copies = [open(name, "rb").read() for name in names[1:]]
        if verdict_of_package(copies[0]) != theirs:
            sys.exit("the package finds something else in our copy")
        if copies[0] != copies[1]:
            sys.exit("a copy of a copy differs")
    os.remove(names[0])


def main():
    program, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000000
    rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    counts = collections.Counter()
    batch_path = os.path.join(folder, "batch")
    for begin in range(0, count, BATCH):
        batch = []
        while len(batch) < min(BATCH, count - begin):
            text, values = good_file(rng)
            batch.append(struct.pack("<Q", len(text.encode())) + text.encode() + values)
            batch.extend(mutant(rng, text, values) for _ in range(15))
        with open(batch_path, "wb") as file:
            file.writelines(struct.pack("<I", len(data)) + data for data in batch)
        lines = subprocess.run([program, batch_path], check=True, stdout=subprocess.PIPE,
                               encoding="utf-8").stdout.splitlines()
        if len(lines) != len(batch):
            sys.exit("%d verdicts for %d files" % (len(lines), len(batch)))
        for data, line in zip(batch, lines):
            problem = compare(data, line, counts)
            if problem:
                with open(os.path.join(folder, "difference.safetensors"), "wb") as file:
                    file.write(data)
                sys.exit(problem)
    check_copies(program, folder, rng)
    for name, number in sorted(counts.items()):
        print("%9d %s" % (number, name))


if __name__ == "__main__":
    main()
