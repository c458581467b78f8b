#!/usr/bin/env python3
"""make_resize.py - Pillow's results for pictures made by a formula, for test_resize.

Writes resize.tsv beside this file. Lines: "square" width height channels orientation, SHA-1 of the
256x256 RGB square, perceptual hash of it ("-": too flat); and "resize" width height channels
to_width to_height, SHA-1 of the samples. Pillow 9.4.0, imagehash 4.3.2, numpy 2.4.6.
"""
import hashlib
import math
import os

import imagehash
import numpy
from PIL import Image
from scipy import fftpack

MODES = {1: "L", 3: "RGB", 4: "CMYK"}
TURNS = {
    2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
    6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90,
}
SQUARES = [
    (1, 1, 3, 1), (1, 1, 1, 1), (1, 2000, 3, 1), (2000, 1, 3, 1), (1, 2000, 1, 1), (3, 5, 3, 1),
    (5, 3, 1, 1), (255, 257, 3, 1), (257, 255, 1, 1), (256, 256, 3, 1), (256, 300, 3, 1),
    (300, 256, 1, 1), (512, 512, 3, 1), (513, 511, 3, 1), (300, 200, 3, 1), (640, 480, 3, 1),
    (480, 640, 1, 1), (1001, 700, 3, 1), (16, 4096, 3, 1), (4096, 16, 3, 1), (2, 2, 3, 1),
    (4, 3, 3, 1), (5, 4, 3, 1), (6, 300, 3, 1), (1500, 1100, 3, 1),
] + [(37, 61, 3, turn) for turn in range(2, 9)] + [(400, 301, 1, turn) for turn in range(2, 9)]
RESIZES = [
    (100, 80, 3, 37, 91), (16, 16, 3, 16, 31), (31, 16, 3, 62, 16), (200, 1, 3, 1, 1),
    (2000, 30, 3, 7, 3), (7, 5, 3, 70, 50), (33, 44, 1, 11, 12), (64, 64, 1, 65, 63),
    (19, 23, 4, 40, 9), (50, 50, 3, 50, 50), (1, 1, 3, 5, 5), (9, 200, 1, 9, 13),
    (3000, 40, 1, 1, 40), (3000, 40, 3, 2, 1),
]


def picture(width, height, channels):
    x, y, c = numpy.meshgrid(numpy.arange(width, dtype=numpy.uint32),
                             numpy.arange(height, dtype=numpy.uint32),
                             numpy.arange(channels, dtype=numpy.uint32), indexing="ij")
    smooth = x * (3 + c) + y * (5 + 2 * c) + (x * x + 3 * y * y) // 16
    noise = (x * 7919 + y * 104729 + c * 31) * numpy.uint32(2654435761) >> numpy.uint32(24)
    samples = numpy.where((x // 8 + y // 8) % 2 == 1, smooth, noise) & 255
    samples = samples.astype(numpy.uint8).transpose(1, 0, 2)
    return Image.frombytes(MODES[channels], (width, height), samples.tobytes())


def square_of(image):
    shorter = min(image.size)
    size = tuple(math.floor(side * 256 / shorter + 0.5) for side in image.size)
    image = image.convert("RGB").resize(size, Image.BICUBIC)
    left, top = ((side - 256) // 2 for side in size)
    return image.crop((left, top, left + 256, top + 256))


def hash_of(square):
    grey = numpy.asarray(square.convert("L").resize((32, 32), Image.LANCZOS))
    low = fftpack.dct(fftpack.dct(grey, axis=0), axis=1)[:8, :8]
    if numpy.abs(low - numpy.median(low)).min() < 1e-3:
        return "-"
    return str(imagehash.phash(square))


def sha1(image):
    return hashlib.sha1(image.tobytes()).hexdigest()


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize.tsv"), "w") as out:
    for width, height, channels, turn in SQUARES:
        image = picture(width, height, channels)
        if turn in TURNS:
            image = image.transpose(TURNS[turn])
        square = square_of(image)
        out.write(f"square\t{width}\t{height}\t{channels}\t{turn}\t{sha1(square)}\t{hash_of(square)}\n")
    for width, height, channels, to_width, to_height in RESIZES:
        image = picture(width, height, channels).resize((to_width, to_height), Image.BICUBIC)
        out.write(f"resize\t{width}\t{height}\t{channels}\t{to_width}\t{to_height}\t{sha1(image)}\n")
