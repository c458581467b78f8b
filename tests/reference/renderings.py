#!/usr/bin/env python3
"""Ids of the documents of a shard set, computed again from schemas/sequence.md alone.

    renderings.py BIN OUT TOKENIZER.json [--limit N] [--form cm3|htlm|m3w]

The strings are those of `vlm-inspect cat`, the ids to compare those of `vlm-tokenize render` with masks off. The
tokenizer must be byte-level BPE with GPT-2's pattern. Exits 1 at the first difference. Python's standard library only."""

import argparse
import json
import re
import subprocess
import sys
import unicodedata


def byte_spelling():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


class Bpe:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        self.vocabulary = data["model"]["vocab"]
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in data["model"]["merges"]]
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.added = {t["content"]: t["id"] for t in data["added_tokens"]}
        self.spelling = byte_spelling()
        self.known = {}

    @staticmethod
    def kind(char):
        if char in "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" or "\u2000" <= char <= "\u200a":
            return "space"
        return {"L": "letter", "N": "number"}.get(unicodedata.category(char)[0], "other")

    def words(self, text):
        """GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"""
        at = 0
        while at < len(text):
            short = re.match(r"'(?:[stmd]|re|ve|ll)", text[at:])
            if short:
                end = at + short.end()
            else:
                start = at + 1 if text[at] == " " and at + 1 < len(text) and self.kind(text[at + 1]) != "space" else at
                kind, end = self.kind(text[start]), start
                while end < len(text) and self.kind(text[end]) == kind:
                    end += 1
                if kind == "space" and end < len(text) and end - at > 1:
                    end -= 1
            yield text[at:end]
            at = end

    def encode(self, text):
        ids = []
        for word in self.words(text):
            if word not in self.known:
                parts = [self.spelling[b] for b in word.encode()]
                while len(parts) > 1:
                    rank, i = min((self.ranks.get(pair, 1 << 60), i) for i, pair in enumerate(zip(parts, parts[1:])))
                    if rank == 1 << 60:
                        break
                    parts[i:i + 2] = [parts[i] + parts[i + 1]]
                self.known[word] = [self.vocabulary[p] for p in parts]
            ids += self.known[word]
        return ids


def markup_segments(text):
    """(kind, string) of cm3 and htlm as render.c writes them: well formed."""
    for piece in re.split(r"(<[^>]*>)", text):
        if not piece.startswith("<"):
            if piece:
                yield "text", piece
            continue
        done = 0
        image = piece.startswith("<img ")
        for value in re.finditer(r' ([^ ="<>]+)="([^"]*)"', piece):
            codes = image and value[1] == "src" and re.fullmatch(r"\d+( \d+){255}", value[2])
            if value[1] in ("alt", "title", "content") or (image and value[1] == "src"):
                yield "markup", piece[done:value.start(2)]
                if value[2]:
                    yield ("codes" if codes else "text"), value[2]
                done = value.end(2)
        yield "markup", piece[done:]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("bin")
    args.add_argument("out")
    args.add_argument("tokenizer")
    args.add_argument("--limit", type=int, default=1000)
    args.add_argument("--form", default="cm3", choices=("cm3", "htlm", "m3w"))
    args = args.parse_args()
    bpe = Bpe(args.tokenizer)
    with open(args.tokenizer, encoding="utf-8") as file:
        first_code = max(json.load(file)["model"]["vocab"].values()) + 1
    control = {"<BOS>": "<s>", "<image>": "<image>", "<EOC>": "<EOC>"}

    def lines(*command):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                yield json.loads(line)

    strings = {d["id"]: d["text"] for d in lines(f"{args.bin}/vlm-inspect", "cat", args.out, "--render", args.form,
                                                 "--limit", str(args.limit))}
    whole = str(1 << 20)
    settings = (("data.window", whole), ("data.images", "100000")) if args.form == "m3w" else \
        (("data.lambda", "0"), ("data.block", whole))
    render = [f"{args.bin}/vlm-tokenize", "render", args.out, "-t", args.tokenizer, "--recipe", args.form, "-q",
              "--limit", str(args.limit)]
    for key, value in settings:
        render += ["--set", f"{key}={value}"]
    n = n_ids = 0
    for sample in lines(*render):
        if sample["id"] not in strings:
            continue
        ours = []
        if args.form == "m3w":
            for piece in re.split(r"(<BOS>|<image>|<EOC>)", strings[sample["id"]]):
                ours += [bpe.added[control[piece]]] if piece in control else bpe.encode(piece)
            ours.append(bpe.added["</s>"])
        else:
            for kind, piece in markup_segments(strings[sample["id"]]):
                if kind == "codes":
                    ours += [first_code + int(code) for code in piece.split(" ")]
                else:
                    ours += bpe.encode(piece)
            ours = [bpe.added["</s>"], *ours, bpe.added["</s>"]]
        if ours != sample["ids"]:
            at = next((i for i, (a, b) in enumerate(zip(ours, sample["ids"])) if a != b), "the end")
            sys.exit(f"{args.form}: {sample['id']}: ids differ at {at}")
        n, n_ids = n + 1, n_ids + len(ours)
    print(f"{args.form}: {n} documents, {n_ids} ids equal")
    sys.exit(0 if n else 1)


if __name__ == "__main__":
    main()
