#!/usr/bin/env python3
"""Samples of a shard set, computed again from schemas/sample.md alone.

    samples.py vlm-tokenize OUT [-t TOKENIZER] [--limit N] [--seed N] [--epoch N]

The documents, unmasked, are what `render` prints with masks off and a block longer than any page; from
those every block, window and pair of several settings is drawn anew and compared with what `render`
prints: ids, weights, images, phi. Exits 1 at the first difference. Python's standard library only."""

import argparse
import json
import math
import subprocess
import sys

U64 = (1 << 64) - 1
HUGE = str(1 << 20)


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & U64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & U64
    return x ^ (x >> 31)


def key(a, b, c):
    k = mix((a + 0x9E3779B97F4A7C15) & U64)
    k = mix(k ^ mix((b + 0xD1B54A32D192ED03) & U64))
    return mix(k ^ mix((c + 0x8CB92BA72F3D8DD7) & U64))


class Draws:
    BLOCK, WINDOW, PAIR = range(3)

    def __init__(self, seed, epoch, document, kind, number):
        low = int.from_bytes(bytes.fromhex(document)[:8], "little")
        high = int.from_bytes(bytes.fromhex(document)[8:], "little")
        self.key = key(key(seed, epoch, low), high, kind * 2**56 + number)

    def draw(self, i):
        return mix((self.key + i * 0x9E3779B97F4A7C15) & U64)

    def whole(self, i):
        return self.draw(i) >> 11

    def unit(self, i):
        return self.whole(i) / 2.0**53

    def below(self, i, n):
        return self.draw(i) * n >> 64


DEFAULTS = {"lambda": 1.0, "min": 0, "max": 16, "images": "whole", "overflow": "none", "block": 2048,
            "mask_weight": 0, "first_kept": False, "without_end": False}
RELEASES = {
    "paper": {"min": 1, "max": 16, "images": "free"},
    "fairseq": {"min": 1, "max": 255, "images": "free", "overflow": "tail", "without_end": True},
    "metaseq": {"min": 0, "max": 511, "images": "free", "overflow": "tail", "mask_weight": 1},
    "cm3leon": {"min": 0, "max": 511, "images": "nobreak", "overflow": "source", "mask_weight": 1,
                "first_kept": True},
}


class Controls:
    """Ids of control tokens: those that the tokenizer has, the others behind it (vocabulary.h)."""

    def __init__(self, info, end, n_masks):
        words = ["<pad>", "<s>", "</s>", "<eoss>", "<image>", "<EOC>"] + [f"<mask:{i}>" for i in range(n_masks)]
        ids, free = {**end, **info["control"]}, info["vocab_size"]
        for word in words:
            if word not in ids:
                ids[word] = free
                free += 1
        self.begin, self.end, self.eoss = ids["<s>"], ids["</s>"], ids["<eoss>"]
        self.image, self.eoc = ids["<image>"], ids["<EOC>"]
        self.mask = [ids[f"<mask:{i}>"] for i in range(n_masks)]
        self.first_code = free


def count(rules, draws):
    """Number of masks asked for, and the number of the last draw."""
    if rules["lambda"] == 0:
        return 0, 0
    u, n, p = draws.unit(1), 0, math.exp(-rules["lambda"])
    total = p
    while n < rules["max"] and u >= total:
        n += 1
        p = p * rules["lambda"] / n
        total += p
    return max(n, rules["min"]), 1


def place(span, images, policy, length):
    s, e = span
    if s >= e or policy == "free":
        return span
    if policy == "unit":
        grown = [s, e]
        for p, q in images:
            grown = [x + q - p - 1 if p < x else x for x in grown]
        return tuple(grown)
    if policy == "nobreak":
        pieces, at = [], 0
        for p, q in images:
            pieces += [(at, p), (p, q)]
            at = q
        pieces.append((at, length))
        pieces = [(max(s, p), min(e, q)) for p, q in pieces]
        return max(pieces, key=lambda piece: piece[1] - piece[0])  # the first of equals
    for p, q in images:
        if p <= s and e <= q:
            return (p, q) if policy == "whole" else span

    def snap(x):
        for p, q in images:
            if p < x < q:
                return p if x - p <= q - x else q
        return x

    return snap(s), snap(e)


def spans(rules, draws, d, n, length, images):
    if n == 0:
        return []
    if rules["images"] == "unit":
        length -= sum(q - p - 1 for p, q in images)
    if n == 1:
        a, b = sorted((draws.whole(d + 1), draws.whole(d + 2)))
        s, e = a * length >> 53, (b * length + (1 << 52)) >> 53
        if rules["first_kept"]:
            s = max(s, 1)
        s, e = place((s, e), images, rules["images"], length)
        return [(s, e)] if s < e and not (rules["first_kept"] and s == 0) else []
    taken = []
    for i in reversed(range(n * n)):
        x = draws.whole(d + 2 * i + 1) * length >> 53
        y = (draws.whole(d + 2 * i + 2) * length + (1 << 52)) >> 53
        s, e = place((min(x, y), max(x, y)), images, rules["images"], length)
        if s < e and all(e <= t[0] or t[1] <= s for t in taken):
            taken.append((s, e))
            if len(taken) == n:
                break
    return sorted(taken)


class Token:
    __slots__ = ("id", "image", "weight")

    def __init__(self, ident, image=None, weight=1):
        self.id, self.image, self.weight = ident, image, weight


def listed_images(tokens):
    """Runs of codes of one image, as `images` of a sample. Two pieces of one image that the source had apart but now
    touch are two entries; that needs a control token between them, so runs are enough."""
    out, at = [], 0
    while at < len(tokens):
        end = at + 1
        if tokens[at].image is not None:
            number, k = tokens[at].image
            while end < len(tokens) and tokens[end].image == (number, k + end - at):
                end += 1
            out.append({"i": number, "position": at, "n_tokens": end - at})
        at = end
    return out


def blocks(document, rules, control, seed, epoch):
    tokens, start, number = document["tokens"], 0, 0
    while start < len(tokens):
        draws = Draws(seed, epoch, document["id"], Draws.BLOCK, number)
        n, d = count(rules, draws)
        with_end = 0 if rules["without_end"] else 1
        room = rules["block"] - 1 - with_end - (3 * n if rules["overflow"] == "none" else 0)
        to = len(tokens)
        if len(tokens) - start > room:
            to = start + room
            for image in document["images"]:
                if image["end"] > to:
                    if image["tag"] > start:
                        to = min(image["tag"], to)
                    elif image["position"] > start:
                        to = min(image["position"], to)
                    break
        body = tokens[start:to]
        images = [(max(i["position"], start) - start, min(i["end"], to) - start) for i in document["images"]
                  if i["position"] < to and i["end"] > start]
        found = spans(rules, draws, d, n, len(body), images)
        source, at = [Token(control.end, weight=0)], 0
        for i, (s, e) in enumerate(found):
            source += body[at:s] + [Token(control.mask[i], weight=rules["mask_weight"])]
            at = e
        source += body[at:]
        tail = []
        for i, (s, e) in enumerate(found):
            tail += [Token(control.mask[i], weight=rules["mask_weight"])] + body[s:e] + [Token(control.eoss)]
        if to == len(tokens) and with_end:
            tail.append(Token(control.end))
        over = len(source) + len(tail) - rules["block"]
        if over > 0 and rules["overflow"] == "source":
            cut = min(over, len(source) - 1)
            source = source[: len(source) - cut]
        whole = (source + tail)[: rules["block"]]
        yield {"ids": [t.id for t in whole], "weights": [t.weight for t in whole],
               "images": listed_images(whole), "block": number}
        start, number = to, number + 1


def window(document, control, seed, epoch, size, images_max, p_next):
    tokens = document["ids"]
    draws = Draws(seed, epoch, document["id"], Draws.WINDOW, 0)
    following = draws.unit(1) < p_next
    last = max(0, len(tokens) - size)
    places = [i for i, t in enumerate(tokens) if t == control.image]
    for i in range(2, 10):
        start = draws.below(i, last + 1)
        if any(start <= p < start + size for p in places):
            break
    else:
        start = min(last, places[draws.below(10, len(places))])
    out, images, phi = [], [], []
    for at in range(start, len(tokens)):
        if len(out) == size:
            break
        if tokens[at] == control.image:
            if len(images) == images_max:
                continue
            images.append({"i": document["order"][places.index(at)], "position": len(out), "n_tokens": 1})
        out.append(tokens[at])
    seen = 0
    for token in out:
        seen += token == control.image
        value = seen
        if following and token != control.image:
            value = seen + 1 if seen + 1 <= len(images) else 0
        phi.append(value)
    weights = [0 if i == 0 or t == control.image else 1 for i, t in enumerate(out)]
    return {"ids": out, "weights": weights, "images": images, "block": 0, "phi": phi}


def pair(document, spaced, number, control, seed, epoch, size):
    """document and spaced: ids of the pair with data.space 0 and 1."""
    draws = Draws(seed, epoch, document["id"], Draws.PAIR, number)
    chosen = spaced if draws.unit(1) < 0.5 else document
    caption = chosen["ids"][2:-2][: size - 4]
    ids = [control.begin, control.image] + caption + [control.eoc, control.end]
    return {"ids": ids, "weights": [0, 0] + [1] * (len(ids) - 2),
            "images": [{**document["images"][0], "position": 1}], "block": number}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("program")
    args.add_argument("out")
    args.add_argument("-t", dest="tokenizer")
    args.add_argument("--limit", default="1000")
    args.add_argument("--seed", type=int, default=7)
    args.add_argument("--epoch", type=int, default=3)
    args = args.parse_args()
    tokenizer = ["-t", args.tokenizer] if args.tokenizer else []

    def run(recipe, settings, limit=args.limit):
        command = [args.program, "render", args.out, *tokenizer, "--recipe", recipe, "--limit", str(limit), "-q",
                   "--seed", str(args.seed), "--epoch", str(args.epoch)]
        for name, value in settings:
            command += ["--set", f"{name}={value}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def compare(name, ours, theirs):
        for a, b in zip(ours, theirs):
            for member in a:
                if a[member] != b[member]:
                    where = next((i for i, (x, y) in enumerate(zip(a[member], b[member])) if x != y), "end") \
                        if isinstance(a[member], list) else ""
                    sys.exit(f"{name}: {b['id']} block {b['block']}: {member} differs at {where}")
        if len(ours) != len(theirs):
            sys.exit(f"{name}: {len(ours)} samples here, {len(theirs)} from vlm-tokenize")
        print(f"{name}: {len(ours)} samples, {sum(len(s['ids']) for s in ours)} ids equal")

    info = json.loads(subprocess.run([args.program, "info", *tokenizer, "--json"], check=True,
                                     capture_output=True, text=True).stdout)
    word = subprocess.run([args.program, "encode", *tokenizer, "--special"], input="<|endoftext|>", check=True,
                          capture_output=True, text=True).stdout.split()
    end = {"</s>": int(word[0])} if len(word) == 1 else {}  # only where there is no </s>
    first_code = Controls(info, end, 16).first_code
    documents = []
    for line in run("cm3", [("data.lambda", 0), ("data.block", HUGE)]):
        tokens = [Token(i) for i in line["ids"][1:-1]]
        images = []
        for image in line["images"]:
            position = image["position"] - 1
            tag = position
            while not line["tokens"][tag + 1].startswith("<"):
                tag -= 1
            images.append({"position": position, "end": position + image["n_tokens"], "tag": tag})
            for k in range(image["n_tokens"]):
                tokens[position + k].image = (image["i"], k)
        documents.append({"id": line["id"], "tokens": tokens, "images": images})

    for name, settings, rules in [
            ("defaults", [], {}), ("paper", [("cm3.paper", 1)], RELEASES["paper"]),
            ("an image as one token", [("data.images", "unit"), ("data.lambda", 2), ("data.block", 400)],
             {"images": "unit", "lambda": 2.0, "block": 400}),
            ("snap, blocks of 512", [("data.images", "snap"), ("data.block", 512), ("data.min", 2), ("data.max", 9),
                                     ("data.lambda", 3)],
             {"images": "snap", "block": 512, "min": 2, "max": 9, "lambda": 3.0}),
            ("small blocks", [("data.block", 320)], {"block": 320}),
            ("fairseq", [("cm3.release", "fairseq"), ("data.block", 400)], {**RELEASES["fairseq"], "block": 400}),
            ("metaseq", [("cm3.release", "metaseq"), ("data.block", 300)], {**RELEASES["metaseq"], "block": 300}),
            ("cm3leon", [("cm3.release", "cm3leon"), ("data.block", 300)], {**RELEASES["cm3leon"], "block": 300})]:
        rules = {**DEFAULTS, **rules}
        control = Controls(info, end, max(16, rules["max"]))
        for document in documents:
            for token in document["tokens"]:
                if token.image is not None:
                    token.id += control.first_code - first_code
        first_code = control.first_code
        ours = [{**b, "id": d["id"]} for d in documents
                for b in blocks(d, rules, control, args.seed, args.epoch)]
        compare(f"cm3, {name}", ours, run("cm3", settings, len(ours)))

    control = Controls(info, end, 16)
    pages = run("m3w", [("data.window", HUGE), ("data.images", 100000)])
    for page in pages:
        page["order"] = [image["i"] for image in page["images"]]
    for name, settings, rules in [("defaults", [], (256, 5, 0.5)),
                                  ("windows of 32, 1 image", [("data.window", 32), ("data.images", 1),
                                                              ("data.p_next", 0.3)], (32, 1, 0.3))]:
        ours = [{**window(page, control, args.seed, args.epoch, *rules), "id": page["id"]} for page in pages]
        compare(f"m3w, {name}", ours, run("m3w", settings, len(ours)))

    plain, spaced = (run("pair", [("data.window", HUGE), ("data.space", share)]) for share in (0, 1))
    ours = [{**pair(a, b, a["block"], control, args.seed, args.epoch, 64), "id": a["id"]}
            for a, b in zip(plain, spaced)]
    compare("pair", ours, run("pair", [], len(ours)))


if __name__ == "__main__":
    main()
