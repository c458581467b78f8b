#!/usr/bin/env python3
"""Writes tests/vectors/split.tsv: how the package tokenizers cuts every character in many contexts, for
tests/test_split.c.

    python3 tests/reference/make_split.py > tests/vectors/split.tsv             # tokenizers 0.23.3
    python3 tests/reference/make_split.py gpt2 clip                             # of these scanners
    python3 tests/reference/make_split.py --all > all.tsv                       # every code point

A context is a text with % where the character goes. `each`: the character in its context is a text of its
own, so that it stands at the end; `many`: the contexts of 4096 characters and a blank line behind each are
one text. Columns: scanner, how, context, and the first 16 digits of SHA-256 over the bytes of the pieces'
lengths in bytes, with a zero behind each text. White space that a pattern leaves out counts as a piece, as
vlm_split_next() says. Characters behind the ideographs are all of two kinds, and only some of them are in
the file; --all has those too, and takes five times as long."""
import hashlib
import sys

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
LLAMA3 = (rf"(?i:{CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}%s"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
FIRST = r"[^\r\n\p{L}\p{N}]?"
# As published, but that \z says for tokenizers what $ says for tiktoken.
PATTERNS = {
    "gpt2": CONTRACTIONS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # OpenAI's code has all of it case-insensitive. That only matters for U+0345, which folds to a letter:
    # the package regex then leaves it out, tokenizers takes it for a letter.
    "clip": f"(?i:{CONTRACTIONS})" + r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "clip-cased": CONTRACTIONS + r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "cl100k": LLAMA3 % "{1,3}",
    "cl100k-tiktoken": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+|"
                       r" ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++\z|\s*[\r\n]|\s+(?!\S)|\s",
    "qwen2": LLAMA3 % "",
    "o200k": rf"{FIRST}{UPPER}*{LOWER}+(?i:{CONTRACTIONS})?|{FIRST}{UPPER}+{LOWER}*(?i:{CONTRACTIONS})?|"
             r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
EACH = ["%", "%%", " %", "% ", "  %", "%  ", "\n%", "%\n", "%\n ", "'%", "a%", "1%"]
MANY = ["%a", "a%", "%A", "A%", "A%b", "a%B", "A%B", "%1", "1%1", "%%%", ".%", "%.", " % ", "  %a", " %a", "%  a",
        "%'s", "'%", "'s%", "'%e", "'l%", "a'%", "%'LL", "%%'ſ", "\n%", "\r%\r", "\r\n%a", "%\u0301", "\u0301%",
        "\u0301%A", "ʰ%B", "a%\u0301B", ".%a", " .%\n/", "/%/", "\t%", "%\t%", "\u00a0%"]
BATCH = 4096


def characters(every):
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000 and (every or c < 0x32400 or 0xE0000 <= c < 0xE1000 or c >= 0x10FF00):
            yield chr(c)


def texts(how, context, every):
    batch = ""
    for i, character in enumerate(characters(every), 1):
        text = context.replace("%", character)
        if how == "each":
            yield text
            continue
        batch += text + "\n\n"
        if i % BATCH == 0:
            yield batch
            batch = ""
    if batch:
        yield batch


def main():
    every = "--all" in sys.argv[1:]
    names = [name for name in sys.argv[1:] if name != "--all"]
    for name in names or PATTERNS:
        pattern = PATTERNS[name]
        split = Split(Regex(pattern), "isolated")
        for how, context in [("each", c) for c in EACH] + [("many", c) for c in MANY]:
            digest = hashlib.sha256()
            for text in texts(how, context, every):
                pieces = split.pre_tokenize_str(text)
                digest.update(bytes([len(piece.encode()) for piece, _ in pieces] + [0]))
            escaped = context.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
            print(name, how, escaped, digest.hexdigest()[:16], sep="\t", flush=True)


main()
