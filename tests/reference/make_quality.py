#!/usr/bin/env python3
"""Writes tests/vectors/quality.tsv: PSNR, SSIM and gradient PSNR of pairs of squares, by array formulas
(numpy), for tests/test_quality.c.

    python3 tests/reference/make_quality.py > tests/vectors/quality.tsv      # numpy

SSIM is what skimage.metrics.structural_similarity computes of luma with gaussian_weights=True,
sigma=1.5, use_sample_covariance=False, data_range=255: the mean over all places where the 11 x 11
window lies inside. The squares come from a formula that the test has too. Columns: pair, psnr, ssim,
l1, edge_psnr."""
import numpy as np

SIDE = 256
PAIRS = 6


def squares(pair):
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    word = ((y * 7919 + x * 104729 + c * 1299709 + pair * 15485863) * 2654435761 % 2**32) >> 16
    a = (x * (1 + c) + y * 2 + 40 * ((x // 16 + y // 16) % 2) + pair * 17) % 256
    noise = (word % (1 + 12 * pair)) - 6 * pair
    b = np.clip(a + noise, 0, 255) if pair else a
    if pair == 5:
        b = 255 - b
    return a.astype(np.float64), b.astype(np.float64)


def psnr(mean_square):
    return min(100.0, 10 * np.log10(255**2 / mean_square)) if mean_square else 100.0


def luma(square):
    return square @ np.array([0.299, 0.587, 0.114])


def blur(plane):
    distance = np.arange(-5, 6)
    weights = np.exp(-(distance**2) / (2 * 1.5**2))
    weights /= weights.sum()
    windows = np.lib.stride_tricks.sliding_window_view(plane, (11, 11))
    return np.einsum("yxij,i,j->yx", windows, weights, weights)


def ssim(a, b):
    a, b = luma(a), luma(b)
    ux, uy = blur(a), blur(b)
    vx, vy, vxy = blur(a * a) - ux * ux, blur(b * b) - uy * uy, blur(a * b) - ux * uy
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    s = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    return s.mean()


def gradients(plane):
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    windows = np.lib.stride_tricks.sliding_window_view(plane, (3, 3))
    return np.stack([np.einsum("yxij,ij->yx", windows, k) for k in (sobel, sobel.T)])


for pair in range(PAIRS):
    a, b = squares(pair)
    edge = psnr(((gradients(luma(a)) - gradients(luma(b))) ** 2).mean())
    print(pair, *(f"{v:.12g}" for v in (psnr(((a - b) ** 2).mean()), ssim(a, b),
                                        np.abs(a - b).mean(), edge)), sep="\t")
