#!/usr/bin/env python3
"""Writes tokenize/unicode/grapheme_table.c: classes of grapheme clusters, asked of the package tokenizers 0.23.

    python tests/reference/make_grapheme.py > tokenize/unicode/grapheme_table.c
    clang-format -i tokenize/unicode/grapheme_table.c

The normalizer Precompiled maps a cluster of less than 6 bytes as a whole to the replacement of the first key that it
begins with, and so drops its marks; in longer clusters the marks stay. That shows for a text where clusters end.
"""
import base64

from tokenizers.normalizers import Precompiled

from precompiled import charsmap

normal = Precompiled(base64.b64decode(charsmap({
    "a": "X", "©": "C", "\u0344": "Y", "\u1161": "V", "\u11a8": "T", "\u1100": "L", "क": "K"}))).normalize_str
MARK = "\u0301"

# The mark behind the last letter stays when a cluster has begun further to the left.
QUESTIONS = {
    "follows": lambda c: normal("a" + c) == "X",
    "precedes": lambda c: normal(c + "©" + MARK).endswith(MARK),
    "ends": lambda c: normal(c + "\u0344" + MARK)[-1] == "Y",
    "before V": lambda c: normal(c + "\u1161" + MARK).endswith(MARK),
    "before T": lambda c: normal(c + "\u11a8" + MARK).endswith(MARK),
    "before L": lambda c: normal(c + "\u1100" + MARK).endswith(MARK),
    "extends picture": lambda c: normal("©" + c + "\u200d©" + MARK).endswith(MARK),
    "is picture": lambda c: normal(c + "\u200d©" + MARK).endswith(MARK),
    "is consonant": lambda c: normal(c + "\u094dक" + MARK).endswith(MARK),
    "links": lambda c: normal("क" + c + "क" + MARK).endswith(MARK),
    "between links": lambda c: normal("क" + c + "\u094dक" + MARK).endswith(MARK),
}
CLASSES = {
    (): "OTHER",
    ("ends",): "CONTROL",
    ("follows", "extends picture", "between links"): "EXTEND",
    ("follows", "extends picture", "links", "between links"): "LINKER",
    ("follows", "extends picture"): "NON_JOINER",
    ("follows", "between links"): "JOINER",
    ("follows",): "SPACING_MARK",
    ("precedes", "before V", "before T", "before L", "links"): "PREPEND",
    ("is consonant", "between links"): "CONSONANT",
    ("extends picture", "is picture"): "PICTOGRAPH",
    ("before V", "before L"): "HANGUL_L",
    ("before V", "before T"): "HANGUL_V",
    ("before T",): "HANGUL_T",
}
ORDER = ["START", "OTHER", "CONTROL", "CR", "LF", "EXTEND", "LINKER", "NON_JOINER", "JOINER", "SPACING_MARK", "PREPEND",
         "CONSONANT", "PICTOGRAPH", "REGIONAL", "HANGUL_L", "HANGUL_V", "HANGUL_T"]


def class_of(code):
    if code < 0x80 or 0xac00 <= code <= 0xd7a3 or 0xd800 <= code <= 0xdfff:  # not in the table; no characters
        return "OTHER"
    if 0x1f1e6 <= code <= 0x1f1ff:  # pairs of them have 8 bytes: the package cannot be asked
        return "REGIONAL"
    return CLASSES[tuple(name for name, asked in QUESTIONS.items() if asked(chr(code)))]


HEAD = """/* grapheme_table.c - the classes of code points in grapheme clusters, and their search.
 * Written by tests/reference/make_grapheme.py. */
#include "base/vlm.h"
#include "tokenize/unicode/grapheme.h"

/* From here on a class holds: code point << 5 | class. */
static const uint32_t starts[] = {"""
FOOT = """};

enum vlm_grapheme_class vlm_grapheme_class_of(uint32_t c)
{
    size_t low = 0, end = VLM_COUNTOF(starts);
    while (end - low > 1) {
        size_t middle = (low + end) / 2;
        if (starts[middle] >> 5 <= c)
            low = middle;
        else
            end = middle;
    }
    return (enum vlm_grapheme_class)(starts[low] & 31);
}"""


def main():
    starts, last = [], None
    for code in range(0x110000):
        name = class_of(code)
        if name != last:
            starts.append(f"0x{code << 5 | ORDER.index(name):x}")
        last = name
    print(HEAD)
    print(", ".join(starts))
    print(FOOT)


if __name__ == "__main__":
    main()
