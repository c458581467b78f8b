#!/usr/bin/env python3
"""make_safetensors.py - a file written by the PyPI package safetensors, for test_safetensors_values.

Writes ../vectors/python.safetensors. Value i of every tensor is the same formula in each dtype: what
the test computes again. safetensors 0.8.0.
"""
import ctypes
import os
import struct

import safetensors

FORMATS = {  # dtype: (format of struct, bytes)
    "float64": ("<d", 8), "float32": ("<f", 4), "float16": ("<e", 2), "int64": ("<q", 8),
    "int32": ("<i", 4), "int16": ("<h", 2), "int8": ("<b", 1), "uint64": ("<Q", 8),
    "uint32": ("<I", 4), "uint16": ("<H", 2), "uint8": ("<B", 1), "bool": ("<?", 1),
}


def value(dtype, i):
    if dtype == "bool":
        return i % 3 == 0
    if dtype.startswith("float"):
        return (i - 3) * 0.25
    return i + 1


def values(dtype, count):
    if dtype == "bfloat16":  # the upper half of a float; these need no rounding
        return b"".join(struct.pack("<f", value("float32", i))[2:] for i in range(count))
    return b"".join(struct.pack(FORMATS[dtype][0], value(dtype, i)) for i in range(count))


def main():
    tensors, kept = {}, []

    def add(name, dtype, shape, data):
        kept.append(ctypes.create_string_buffer(data, max(1, len(data))))
        tensors[name] = safetensors.TensorSpec(dtype=dtype, shape=shape, data_len=len(data),
                                               data_ptr=ctypes.addressof(kept[-1]))

    for dtype in list(FORMATS) + ["bfloat16"]:
        add("layer.%s" % dtype, dtype, [2, 5], values(dtype, 10))
    add("scalar", "float32", [], values("float32", 1))
    add("empty", "float32", [0, 7], b"")
    add("gr\u00f6\u00dfe \"\\\n", "uint8", [1], b"\1")
    path = os.path.join(os.path.dirname(__file__), "..", "vectors", "python.safetensors")
    content = safetensors.serialize(tensors, {"note": "\u00e9\n\""})
    with open(path, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    main()
