#!/usr/bin/env python3
"""Writes tokenize/unicode/char_class_table.c: the class of every character, as the packages tiktoken and
tokenizers see it.

    python3 tests/reference/make_char_class.py > tokenize/unicode/char_class_table.c

Both are asked which characters their regular expressions \\s, \\p{N}, \\p{Lu} .. \\p{Lo} and \\p{M} match,
and must agree. tiktoken 0.14.0 and tokenizers 0.23.3 do: they have the categories of Unicode 16.0."""

import tiktoken
import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

BLOCK = 128
# Names as in char_class_internal.h, in the order of their numbers.
CLASSES = [("SPACE", r"\s"), ("NUMBER", r"\p{N}"), ("UPPER", r"[\p{Lu}\p{Lt}]"), ("LOWER", r"\p{Ll}"),
           ("LETTER", r"[\p{Lm}\p{Lo}]"), ("MARK", r"\p{M}")]
EVERYTHING = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def by_tiktoken(pattern):
    """What is in no match is dropped, and what matches becomes bytes."""
    bytes_only = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=pattern, special_tokens={},
                                 mergeable_ranks=bytes_only)
    return set(bytes(encoding.encode_ordinary(EVERYTHING)).decode())


def by_tokenizers(pattern):
    rest = Split(Regex(pattern), "removed").pre_tokenize_str(EVERYTHING)
    return set(EVERYTHING).difference(*(piece for piece, _ in rest))


def classes():
    table = [0] * 0x110000
    for number, (_, pattern) in enumerate(CLASSES, 1):
        found = by_tiktoken(pattern)
        assert found == by_tokenizers(pattern), pattern
        for character in found:
            assert not table[ord(character)], character
            table[ord(character)] = number
    letters = {c for c in EVERYTHING if 3 <= table[ord(c)] <= 5}
    assert letters == by_tiktoken(r"\p{L}") == by_tokenizers(r"\p{L}")
    return table


def rows(numbers, a_row):
    for i in range(0, len(numbers), a_row):
        print("    " + ", ".join(numbers[i:i + a_row]) + ",")


def main():
    table = classes()
    # Variation selectors are the only ones behind the ideographs.
    assert all(n == (6 if 0xE0100 <= c <= 0xE01EF else 0) for c, n in enumerate(table) if c > 0x32400)
    blocks, index = [], []
    for start in range(0, 0x32400, BLOCK):
        block = table[start:start + BLOCK]
        if block not in blocks:
            blocks.append(block)
        index.append(blocks.index(block))
    assert len(blocks) <= 256
    print(f"""/* char_class_table.c - the class of every character below U+32400, 4 bits each. Written by
 * tests/reference/make_char_class.py from what tiktoken {tiktoken.__version__} and tokenizers {tokenizers.__version__} match, which
 * are the categories of Unicode 16.0. */
#include "base/vlm.h"

#include "tokenize/unicode/char_class_internal.h"

const uint8_t vlm_char_class_blocks[{len(index)}] = {{""")
    rows([str(i) for i in index], 16)
    print(f"}};\n\nconst uint64_t vlm_char_class_words[{len(blocks)} * {BLOCK // 16}] = {{")
    words = [sum(n << 4 * i for i, n in enumerate(block[w:w + 16])) for block in blocks
             for w in range(0, BLOCK, 16)]
    rows([f"0x{word:016x}" for word in words], 4)
    print("};")


main()
