#!/usr/bin/env python3
"""Writes tests/vectors/sample.tsv: samples of documents made of numbers, computed from the text of
schemas/sample.md and nothing else, for tests/test_sample.c.

    python3 tests/reference/make_sample.py > tests/vectors/sample.tsv

A document is a list of words: tN N text tokens, iN an image whose tag has N tokens, s <s>, m
<image>, e <EOC>, E </s>. Columns: recipe, settings, document, seed, epoch, document id, then of each
sample its number of tokens and the FNV-1a hash of its ids, each followed by its weight, then of its
images' positions and sizes and of phi, as 32-bit numbers."""
import math
import random

M64 = 2**64 - 1
TEXT, CODES, MASKS = 1000, 1024, 512
PAD, BEGIN, END, EOSS, IMAGE, EOC = range(TEXT, TEXT + 6)
MASK0 = TEXT + 6
CODE0 = MASK0 + MASKS


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & M64
    return x ^ (x >> 31)


def key(a, b, c):
    x = mix(a + 0x9E3779B97F4A7C15 & M64)
    x = mix(x ^ mix(b + 0xD1B54A32D192ED03 & M64))
    return mix(x ^ mix(c + 0x8CB92BA72F3D8DD7 & M64))


class Draws:
    def __init__(self, seed, epoch, document, kind, number):
        low, high = (int.from_bytes(document[k : k + 8], "little") for k in (0, 8))
        self.k = key(key(seed, epoch, low), high, kind * 2**56 + number)

    def draw(self, i):
        return mix(self.k + i * 0x9E3779B97F4A7C15 & M64)

    def whole(self, i):
        return self.draw(i) >> 11

    def unit(self, i):
        return self.whole(i) / 2**53

    def below(self, i, n):
        return self.draw(i) * n >> 64


class Document:
    """ids, and of each image its tag, position and number of tokens."""

    def __init__(self, words):
        self.ids, self.images = [], []
        control = {"s": BEGIN, "e": EOC, "E": END}
        for word in words.split():
            n = int(word[1:] or 0)
            tag = len(self.ids)
            if word[0] in "ti":
                self.ids += [k % TEXT for k in range(tag, tag + n)]
            if word[0] == "i":
                image = len(self.images)
                self.images.append((tag, len(self.ids), 256))
                self.ids += [CODE0 + (k * 7 + 31 * image) % CODES for k in range(256)]
            elif word[0] == "m":
                self.images.append((tag, tag, 1))
                self.ids.append(IMAGE)
            elif word[0] in control:
                self.ids.append(control[word[0]])


def count(lam, low, high, draws):
    if lam == 0:
        return 0, 0
    u = draws.unit(1)
    n, p = 0, math.exp(-lam)
    total = p
    while n < high and u >= total:
        n += 1
        p = p * lam / n
        total += p
    return max(n, low), 1


def place(s, e, images, rule):
    """images: [(p, q)] inside the block."""
    if s >= e or rule == "free":
        return s, e
    if rule == "unit":
        starts, behind = [0], dict(images)
        while len(starts) <= e:
            starts.append(behind.get(starts[-1], starts[-1] + 1))
        return starts[s], starts[e]
    if rule == "nobreak":
        edges = sorted({0, 2**32} | {x for image in images for x in image})
        pieces = [(max(s, a), min(e, b)) for a, b in zip(edges, edges[1:])]
        return max(pieces, key=lambda piece: piece[1] - piece[0])  # the first of the largest
    for p, q in images:
        if p <= s and e <= q:
            return (p, q) if rule == "whole" else (s, e)

    def edge(x):
        for p, q in images:
            if p < x < q:
                return p if x - p <= q - x else q
        return x

    return edge(s), edge(e)


def spans(n, drawn, length, images, rule, first_kept, draws):
    if rule == "unit":
        length -= sum(q - p - 1 for p, q in images)

    def start(whole):
        return whole * length // 2**53

    def end(whole):
        return (whole * length + 2**52) // 2**53

    if n == 1:
        a, b = sorted(draws.whole(drawn + k) for k in (1, 2))
        s, e = place(max(start(a), int(first_kept)), end(b), images, rule)
        return [(s, e)] if s < e and not (first_kept and s == 0) else []
    taken = []
    for i in reversed(range(n * n)):
        if len(taken) == n:
            break
        x, y = start(draws.whole(drawn + 2 * i + 1)), end(draws.whole(drawn + 2 * i + 2))
        s, e = place(min(x, y), max(x, y), images, rule)
        if s < e and not any(s < b and a < e for a, b in taken):
            taken.append((s, e))
    return sorted(taken)


def blocks(document, o, seed, epoch, name):
    ids, at, number = document.ids, 0, 0
    final = 0 if o["without_end"] else 1
    while at < len(ids):
        draws = Draws(seed, epoch, name, 0, number)
        n, drawn = count(o["lambda"], o["min"], o["max"], draws)
        room = o["block"] - 1 - final - (3 * n if o["overflow"] == "none" else 0)
        to = len(ids)
        if to - at > room:
            to = at + room
            for tag, position, size in document.images:
                if position + size > to:
                    if tag > at:
                        to = min(tag, to)
                    elif position > at:
                        to = min(position, to)
                    break
        inside = [(p - at, p + k - at) for _, p, k in document.images if at < p + k and p < to]
        found = spans(n, drawn, to - at, inside, o["images"], o["first_kept"], draws)
        # Each token with the image that it is a code of, or None.
        image_of = [None] * len(ids)
        for i, (_, p, k) in enumerate(document.images):
            image_of[p : p + k] = [i] * k
        tokens = [(ids[k], 1, image_of[k]) for k in range(at, to)]
        source, tail, last = [(END, 0, None)], [], 0
        for i, (s, e) in enumerate(found):
            mask = (MASK0 + i, o["weight"], None)
            source += tokens[last:s] + [mask]
            tail += [mask] + tokens[s:e] + [(EOSS, 1, None)]
            last = e
        source += tokens[last:]
        if to == len(ids) and final:
            tail.append((END, 1, None))
        excess = max(0, len(source) + len(tail) - o["block"])
        if o["overflow"] == "source":
            del source[max(1, len(source) - excess) :]
        yield (source + tail)[: o["block"]], []
        at, number = to, number + 1


def window(document, o, seed, epoch, name):
    ids, size = document.ids, o["block"]
    draws = Draws(seed, epoch, name, 1, 0)
    following = draws.unit(1) < o["p_next"]
    last = max(0, len(ids) - size)
    places = [p for _, p, _ in document.images]
    for i in range(2, 10):
        start = draws.below(i, last + 1)
        if any(start <= p < start + size for p in places):
            break
    else:
        start = min(last, places[draws.below(10, len(places))])
    out, images = [], 0
    for token in ids[start:]:
        if len(out) == size:
            break
        images += token == IMAGE
        if token != IMAGE or images <= o["images"]:
            out.append(token)
    images = min(images, o["images"])
    phi, weights, seen, open_flamingo, counts = [], [], 0, o["labels"] == "open_flamingo", False
    for k, token in enumerate(out):
        if token == IMAGE:
            seen += 1
            counts = True
        value = seen + (1 if following and token != IMAGE else 0)
        phi.append(value if value <= images else 0)
        weight = 0 if k == 0 or token == IMAGE or (open_flamingo and not counts) else 1
        weights.append(weight)
        if token == EOC:
            counts = False
    numbered = [
        (token, weight, ("m", k) if token == IMAGE else None)
        for k, (token, weight) in enumerate(zip(out, weights))
    ]
    yield numbered, phi


def pairs(document, o, seed, epoch, name):
    begins = [k for k, token in enumerate(document.ids) if token == BEGIN]
    for begin, end in zip(begins, begins[1:] + [len(document.ids)]):
        line = document.ids[begin:end]
        caption = line[2:-2][: o["block"] - 4]
        line = line[:2] + caption + line[-2:]
        yield [(t, int(k > 1), ("m", k) if t == IMAGE else None) for k, t in enumerate(line)], []


def fnv(numbers):
    h = 0xCBF29CE484222325
    for number in numbers:
        for byte in number.to_bytes(4, "little"):
            h = (h ^ byte) * 0x100000001B3 & M64
    return h


def images_of(sample):
    """Runs of codes of one image: position, size."""
    out, before = [], None
    for k, (_, _, image) in enumerate(sample):
        if image is not None and image == before:
            out[-1][1] += 1
        elif image is not None:
            out.append([k, 1])
        before = image
    return out


DEFAULTS = {
    "block": 2048, "lambda": 1.0, "min": 0, "max": 16, "images": "whole", "overflow": "none",
    "weight": 0, "without_end": False, "first_kept": False,
}  # fmt: skip
SWITCHES = {
    "cm3.paper=1": {"min": 1, "images": "free"},
    "cm3.release=fairseq": {
        "min": 1, "max": 255, "images": "free", "overflow": "tail", "without_end": True,
    },
    "cm3.release=metaseq": {"max": 511, "images": "free", "overflow": "tail", "weight": 1},
    "cm3.release=cm3leon": {
        "max": 511, "images": "nobreak", "overflow": "source", "weight": 1, "first_kept": True,
    },
}  # fmt: skip
WINDOW = {"block": 256, "images": 5, "p_next": 0.5, "labels": "flamingo"}
PAIR = {"block": 64}
RECIPES = {
    "cm3": (blocks, DEFAULTS),
    "text": (blocks, dict(DEFAULTS, **{"lambda": 0.0})),
    "m3w": (window, WINDOW),
    "pair": (pairs, PAIR),
}


def options(recipe, settings):
    o = dict(RECIPES[recipe][1])
    for setting in settings.split():
        if setting in SWITCHES:
            o.update(SWITCHES[setting])
            continue
        name, value = setting.removeprefix("data.").split("=")
        name = {"window": "block", "objective.weight.mask": "weight"}.get(name, name)
        if name == "space":
            continue
        kind = type(o[name])
        o[name] = value if kind is str else kind(value)
    return o


def write(recipe, settings, words, seed, epoch, name):
    document, o = Document(words), options(recipe, settings)
    fields = [recipe, settings, words, str(seed), str(epoch), name.hex()]
    for sample, phi in RECIPES[recipe][0](document, o, seed, epoch, name):
        flat = [x for token, weight, _ in sample for x in (token, weight)]
        flat += [x for image in images_of(sample) for x in image] + phi
        fields += [str(len(sample)), "%016x" % fnv(flat)]
    print(*fields, sep="\t")


def page(rng, parts, tag, text):
    words = ["t%d" % rng.randint(1, text)]
    for _ in range(parts):
        words.append(rng.choice(["i%d" % rng.randint(0, tag), "t%d" % rng.randint(1, text)]))
    return " ".join(words)


def interleaved(rng, parts, text):
    words = ["s"] + ["t%d" % rng.randint(1, text)] * rng.randint(0, 1)
    for _ in range(parts):
        words += ["e"] * (words[-1] != "s") + ["m", "t%d" % rng.randint(1, text)]
    return " ".join(words + ["e", "E"])


def main():
    rng = random.Random(1)
    masks = [
        "", "data.images=snap", "data.images=free", "data.images=nobreak", "cm3.paper=1",
        "data.lambda=5 data.images=whole", "data.lambda=5 data.images=snap",
        "data.lambda=5 data.images=nobreak", "data.lambda=0", "objective.weight.mask=1",
        "data.lambda=12.5 data.min=4 data.max=20 data.images=free",
    ]  # fmt: skip
    for settings in masks:
        for block in (400, 900):
            for _ in range(3):
                write("cm3", (settings + " data.block=%d" % block).strip(),
                      page(rng, rng.randint(0, 12), 60, 300), rng.getrandbits(64),
                      rng.randint(0, 9), rng.randbytes(16))  # fmt: skip
    for release in ("fairseq", "metaseq", "cm3leon"):
        for _ in range(4):
            write("cm3", "cm3.release=%s data.block=2049" % release, page(rng, 30, 40, 300),
                  rng.getrandbits(64), 0, rng.randbytes(16))  # fmt: skip
    write("text", "", "t5000", 3, 1, rng.randbytes(16))
    for settings in ("", "data.p_next=1", "data.labels=open_flamingo", "data.images=2",
                     "data.window=40"):  # fmt: skip
        for _ in range(6):
            write("m3w", settings, interleaved(rng, rng.randint(1, 12), rng.choice([20, 400])),
                  rng.getrandbits(64), rng.randint(0, 9), rng.randbytes(16))  # fmt: skip
    write("pair", "data.space=0", "s m t3 e E s m t70 e E s m t60 e E", 5, 2, rng.randbytes(16))
    for settings in ("data.images=unit", "data.images=unit data.lambda=5"):
        for block in (400, 900):
            for _ in range(3):
                write("cm3", settings + " data.block=%d" % block,
                      page(rng, rng.randint(0, 12), 60, 300), rng.getrandbits(64),
                      rng.randint(0, 9), rng.randbytes(16))  # fmt: skip


main()
