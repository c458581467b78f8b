#!/usr/bin/env python3
"""Trainings of vlm-tokenize beside those of the package tokenizers (BpeTrainer over ByteLevel).

Merges, vocabulary and special tokens must be equal, the file must load there with the same ids, and the texts
must be cut into the same tokens. Prints "ok NAME" or "not ok NAME: WHY" for each training, and the times of both.

    python3 tests/reference/bpe_train.py [FILE...]      (vlm-tokenize is looked for in PATH)

Each FILE is trained on by itself, then all of them as one folder."""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ["<pad>", "<s>", "</s>", "<eoss>", "<image>", "<EOC>", *(f"<mask:{i}>" for i in range(16))]
FIXED = len(SPECIALS) + 256


def children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def theirs(texts, size, min_count):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=min_count, special_tokens=SPECIALS,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    wall, cpu = time.monotonic(), time.process_time()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer, time.monotonic() - wall, time.process_time() - cpu


def compare(name, paths, size, min_count=2, options=()):
    texts = [Path(path).read_bytes().decode() for path in paths]
    command = ["vlm-tokenize", "train", *paths, "-o", "ours.json", "--vocab-size", str(size),
               "--min-count", str(min_count), "-q", *options]
    wall, cpu = time.monotonic(), children()
    subprocess.run(command, check=True)
    wall, cpu = time.monotonic() - wall, children() - cpu
    tokenizer, their_wall, their_cpu = theirs(texts, size, min_count)
    expected, found = json.loads(tokenizer.to_str()), json.loads(Path("ours.json").read_text())
    merges = [[tuple(merge) for merge in file["model"]["merges"]] for file in (expected, found)]
    loaded = Tokenizer.from_file("ours.json")
    sample = "".join(texts)[:200000]
    if merges[0] != merges[1]:
        at = next((i for i, (a, b) in enumerate(zip(*merges)) if a != b), min(map(len, merges)))
        why = f"merge {at} of {len(merges[0])} and {len(merges[1])}: {merges[0][at:at + 1]} {merges[1][at:at + 1]}"
    elif expected["model"]["vocab"] != found["model"]["vocab"]:
        why = "another vocabulary"
    elif expected["added_tokens"] != found["added_tokens"]:
        why = "other special tokens"
    elif tokenizer.encode(sample).ids != loaded.encode(sample).ids:
        why = "other ids"
    elif loaded.decode(loaded.encode(sample).ids, skip_special_tokens=False) != sample:
        why = "another text when decoded"
    else:
        why = ""
    print(f"not ok {name}: {why}" if why else f"ok {name}: {len(merges[0])} merges")
    print(f"    {name}: {sum(map(len, texts)) / 1e6:.2f} M characters, {wall:.2f} s ({cpu:.2f} of CPU), package "
          f"{their_wall:.2f} s ({their_cpu:.2f} of CPU)", file=sys.stderr)


def made():
    """Texts with overlaps, ties, long words, odd spaces, all scripts; each with a size and the least count."""
    draw = random.Random(1)
    runs = " ".join("a" * n for n in range(1, 40))
    yield "runs", [runs, "aaaa aaaaa baaa aaab aaaabaaaa"], 60, 1
    yield "runs in pairs", ["".join(draw.choice("ab") * draw.randint(1, 9) for _ in range(2000))], 400, 2
    for letters in ("ab", "abc", "abcdefgh"):
        words = ["".join(draw.choices(letters, k=draw.randint(1, 12))) for _ in range(3000)]
        yield f"words of {letters}", [" ".join(words)], 800, 1
        yield f"words of {letters} at least 3 times", [" ".join(words)], 800, 3
    yield "one long word", ["".join(draw.choices("xyz", k=20000))], 500, 2
    yield "one long run", ["z" * 20000 + " zz"], 60, 1
    yield "spaces", ["".join(draw.choices(" \n\t\r\u3000\u00a0\u2028ab.", k=20000))], 300, 2
    yield "digits", ["".join(draw.choices("0123456789., ٣४", k=20000))], 600, 2
    marks = "'s 't 're 've 'm 'll 'd 'S '' ' don't 's's it's' <s> </s> <image> <mask:3> <pad> <p> </p>"
    yield "contractions", [" ".join(draw.choices(marks.split(), k=4000)), marks], 300, 1
    planes = [chr(draw.choice((draw.randint(1, 0x2ff), draw.randint(0x300, 0xd7ff), draw.randint(0xe000, 0x2ffff))))
              for _ in range(20000)]
    yield "every script", ["".join(planes)], 700, 2
    yield "nothing to merge", ["abc"], 100, 2
    yield "an empty text among others", ["", "low lower lowest", ""], 40, 1


def main(files):
    files = [os.path.abspath(file) for file in files]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, texts, merges, min_count in made():
            os.makedirs(name)
            for i, text in enumerate(texts):
                Path(f"{name}/{i}.txt").write_bytes(text.encode())
            paths = [f"{name}/{i}.txt" for i in range(len(texts))]
            compare(name, paths, FIXED + merges, min_count)
        for file in files:
            name = os.path.basename(file)
            for size, min_count, threads in ((8192, 2, "1"), (32768, 2, "2"), (50000, 1, "2")):
                compare(f"{name} {size} -j {threads}", [file], size, min_count, ("-j", threads))
            if os.path.getsize(file) < 4e6:
                compare(f"{name} through files", [file], 8192, 2, ("-j", "2", "--memory", "13M"))
        if len(files) > 1:
            compare("all files", files, 32768, 2)


if __name__ == "__main__":
    main(sys.argv[1:])
