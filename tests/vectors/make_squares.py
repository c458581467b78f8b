#!/usr/bin/env python3
"""make_squares.py DATA - squares and perceptual hashes by Pillow and imagehash, for test_image_squares.

Reads the images listed in DATA's EXPECTED-images.tsv files and writes squares.tsv beside this file:
path below DATA, SHA-1 of the 256x256 RGB square, perceptual hash ("-" where the picture is so flat
that rounding decides it). Pillow 9.4.0, imagehash 4.3.2, numpy 2.4.6.

The rules on top of Pillow: orientation first, transparency on white in 8 bits, 16-bit grey to the
nearest of 8 bits. Pillow has no 16-bit colour and misreads the transparent value of 2- and 4-bit
grey, and fills what a GIF's first frame leaves uncovered with a colour of its own, so such files
are left out.
"""
import glob
import hashlib
import math
import os
import sys

import imagehash
import numpy
from PIL import Image, ImageOps


def on_white(rgba):
    samples = numpy.asarray(rgba).astype(numpy.float64)
    alpha = samples[..., 3:]
    out = numpy.rint(alpha / 255 * samples[..., :3] + 255 - alpha)
    return Image.fromarray(out.astype(numpy.uint8), "RGB")


def png_depth_and_colour(path):
    with open(path, "rb") as file:
        head = file.read(26)
    return (head[24], head[25]) if head[:4] == b"\x89PNG" else (8, None)


def upright_rgb(path):
    image = Image.open(path)
    if image.format == "GIF" and image.tile[0][1] != (0, 0) + image.size:
        return None
    image.load()
    depth, colour = png_depth_and_colour(path)
    if depth == 16 and colour != 0:
        return None
    transparent = "transparency" in image.info or image.mode in ("LA", "RGBA", "PA")
    if transparent and colour == 0 and depth != 8:
        return None
    if image.mode == "I":
        grey = (numpy.asarray(image).astype(numpy.int64) * 255 + 32767) // 65535
        image = Image.fromarray(grey.astype(numpy.uint8), "L")
    try:
        image = ImageOps.exif_transpose(image)
    except SyntaxError:
        pass  # the EXIF block is none
    return on_white(image.convert("RGBA")) if transparent else image.convert("RGB")


def square_of(image):
    shorter = min(image.size)
    size = tuple(math.floor(side * 256 / shorter + 0.5) for side in image.size)
    image = image.resize(size, Image.BICUBIC)
    left, top = ((side - 256) // 2 for side in size)
    return image.crop((left, top, left + 256, top + 256))


def hash_of(square):
    from scipy import fftpack
    grey = numpy.asarray(square.convert("L").resize((32, 32), Image.LANCZOS))
    low = fftpack.dct(fftpack.dct(grey, axis=0), axis=1)[:8, :8]
    if numpy.abs(low - numpy.median(low)).min() < 1e-3:
        return "-"
    return str(imagehash.phash(square))


def main():
    data, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
    steps = {"jpeg-conformance": 2, "png-conformance": 2, "clothing-a": 10, "gutenberg-chiriqui": 20}
    with open(os.path.join(here, "squares.tsv"), "w") as out:
        for table in sorted(glob.glob(os.path.join(data, "*/*/EXPECTED-images.tsv"))):
            folder = os.path.dirname(table)
            rows = [line.rstrip("\n").split("\t") for line in open(table) if line[0] != "#"]
            rows = [row for row in rows if row[3] == "ok" and row[2] in ("JPEG", "PNG", "WEBP", "GIF")]
            for row in rows[:: steps.get(os.path.basename(folder), 1)]:
                path = os.path.join(folder, row[0])
                image = upright_rgb(path)
                if image is None:
                    continue
                square = square_of(image)
                sha1 = hashlib.sha1(square.tobytes()).hexdigest()
                out.write(f"{os.path.relpath(path, data)}\t{sha1}\t{hash_of(square)}\n")


main()
