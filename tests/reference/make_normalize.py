#!/usr/bin/env python3
"""Writes tests/vectors/normalize.tsv: what the normalizers of the package tokenizers (0.23) do to
the code points of Unicode, as digests; and with -b VOCAB tests/vectors/bert_ids.tsv: ids and offsets
of BERT.

    python tests/reference/make_normalize.py > tests/vectors/normalize.tsv
    python tests/reference/make_normalize.py -b bert-base-uncased-vocab.txt war-and-peace.txt \\
        > tests/vectors/bert_ids.tsv

A row of the first is STEP, CONTEXT, FIRST, END, DIGEST: texts are 512 code points from FIRST on,
each in the context, lines joined; the digest is the first half of SHA-256 over, for each text, the
number of bytes of its result, these bytes, where each of them began in the text, and where each
ended. Numbers are u32, little-endian.

A row of the second is CONTEXT, FIRST, END, DIGEST, each code point a text of its own, and the digest
over its number of ids, the ids, and start and end of each; or file, NAME, SIZE, DIGEST for a whole
text that is cut into pieces of at most 64 KiB at line ends."""
import argparse
import hashlib
import os
import sys

import numpy as np
from tokenizers import BertWordPieceTokenizer, Regex, Tokenizer, models, normalizers, pre_tokenizers

STEPS = {
    "nfc": normalizers.NFC(),
    "nfd": normalizers.NFD(),
    "nfkc": normalizers.NFKC(),
    "nfkd": normalizers.NFKD(),
    "lowercase": normalizers.Lowercase(),
    "strip_accents": normalizers.StripAccents(),
    "bert": normalizers.BertNormalizer(),
    "bert_cased": normalizers.BertNormalizer(lowercase=False),
    "bert_accents_kept": normalizers.BertNormalizer(strip_accents=False),
    "bert_accents_only": normalizers.BertNormalizer(False, False, True, False),
    "strip": normalizers.Strip(),
    "strip_left": normalizers.Strip(left=True, right=False),
    "strip_right": normalizers.Strip(left=False, right=True),
    "replace": normalizers.Replace("a", "x\u00e9"),
    "replace_by_nothing": normalizers.Replace("aa", ""),
    "prepend": normalizers.Prepend("\u2581x"),
    "byte_level": normalizers.ByteLevel(),
    "nmt": normalizers.Nmt(),
}
CONTEXTS = {  # what stands before and behind; * is the code point again
    "alone": ("", ""),
    "letters": ("a", "b"),
    "word": ("a ", ""),
    "twice": ("", "*"),
    "dot": (".", ""),
    "acute": ("", "\u0301"),
    "after_acute": ("\u0301", ""),
    "marks": ("a\u0345", "\u0323"),
    "jamo": ("\u1100", "\u11a8"),
}
RANGES = ((0, 0x20000), (0x2a600, 0x2d000), (0x2f800, 0x2fc00), (0xe0000, 0xe0400),
          (0x10fc00, 0x110000))
BERT_CONTEXTS = ("alone", "letters", "word", "twice", "dot", "acute")


def text_of(context, c):
    before, behind = CONTEXTS[context]
    return before + chr(c) + behind.replace("*", chr(c))


def code_points(first, end):
    return (c for c in range(first, end) if not 0xd800 <= c < 0xe000)


def byte_places(text):
    return np.concatenate([[0], np.cumsum([len(c.encode()) for c in text])]).astype("<u4")


def normalize_rows():
    for name, step in STEPS.items():
        # A token for each character of the result, so that its offsets are seen.
        tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        tokenizer.normalizer = step
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        forms = name in ("nfc", "nfd", "nfkc", "nfkd") or name.startswith("bert")
        for context in CONTEXTS if forms else ("alone", "letters", "marks"):
            for first, end in RANGES:
                digest = hashlib.sha256()
                for block in range(first, end, 512):
                    text = "\n".join(text_of(context, c) for c in code_points(block, block + 512))
                    if not text:
                        continue
                    result = step.normalize_str(text)
                    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
                    assert len(offsets) == len(result)
                    places = byte_places(text)
                    sizes = [len(c.encode()) for c in result]
                    digest.update(np.uint32(sum(sizes)).tobytes() + result.encode())
                    for side in (0, 1):
                        at = places[[offset[side] for offset in offsets]] if offsets else places[:0]
                        digest.update(np.repeat(at, sizes).astype("<u4").tobytes())
                yield name, context, "%x" % first, "%x" % end, digest.hexdigest()[:32]


def add_ids(digest, text, encoding):
    places = byte_places(text)
    digest.update(np.uint32(len(encoding.ids)).tobytes() + np.array(encoding.ids, "<u4").tobytes())
    if encoding.ids:
        digest.update(places[np.array(encoding.offsets).reshape(-1)].tobytes())


def bert_rows(vocab, files):
    tokenizer = BertWordPieceTokenizer(vocab, lowercase=True)
    for context in BERT_CONTEXTS:
        for first in range(0, 0x110000, 0x10000):
            digest = hashlib.sha256()
            texts = [text_of(context, c) for c in code_points(first, first + 0x10000)]
            encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
            for text, encoding in zip(texts, encodings):
                add_ids(digest, text, encoding)
            yield context, "%x" % first, "%x" % (first + 0x10000), digest.hexdigest()[:32]
    for path in files:
        with open(path, "rb") as file:
            data = file.read()
        digest = hashlib.sha256()
        at = 0
        while at < len(data):
            end = min(at + 65536, len(data))
            line_end = data.rfind(b"\n", at, end) + 1
            end = line_end if end < len(data) and line_end else end
            text = data[at:end].decode()
            add_ids(digest, text, tokenizer.encode(text, add_special_tokens=False))
            at = end
        yield "file", os.path.basename(path), str(len(data)), digest.hexdigest()[:32]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", metavar="VOCAB")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    rows = bert_rows(arguments.b, arguments.files) if arguments.b else normalize_rows()
    for row in rows:
        print("\t".join(row))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
