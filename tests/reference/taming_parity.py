#!/usr/bin/env python3
"""taming_parity.py - latents, codes and pixels of VQGANs in PyTorch, for test_taming.

    python3 tests/reference/taming_parity.py
    python3 tests/reference/taming_parity.py --full taming --seed 3 -o folder
    build/release/tests/test_taming folder/reference.safetensors folder/weights

The first line makes tests/vectors/taming_VARIANT.safetensors for the four variants in small: their
weights are a formula of name and place (value() here, and in test_taming.c), so the file has only names
and shapes. The second makes weights as the variant's authors store them, at full size, with the
reference beside them; the third compares.

Modules are written from the description of each model, with its own names: VQGAN of
taming-transformers, VQ-16 of LlamaGen, MaskGIT's tokenizer as in open-MUSE, and Chameleon's. Tensors
of a reference:

    square  [256, 256, 3] U8     the image; absent: square() here and in test_taming.c
    z       [16, 16, D] F32      latents
    codes   [256] I32            nearest codes
    pixels  [n, 3] F32           of the decoded codes, of pixel i s + (7 i mod s), s = 65536 / n

The metadata holds format, seed, and, in small, tensors: "name:8,3,3,3;..."."""

import argparse
import json
import os
import struct

import numpy
import torch
import torch.nn.functional as F
from torch import nn

VARIANTS = ("taming", "llamagen", "maskgit", "chameleon")


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


def conv(cin, cout, taps=3, bias=True, **options):
    return nn.Conv2d(cin, cout, taps, padding=taps // 2, bias=bias, **options)


class Res(nn.Module):
    def __init__(self, cin, cout, bias=True, of_output=False):
        super().__init__()
        self.norm1, self.conv1 = norm(cin), conv(cin, cout, bias=bias)
        self.norm2, self.conv2 = norm(cout), conv(cout, cout, bias=bias)
        self.of_output = of_output
        if cin != cout:
            self.nin_shortcut = conv(cout if of_output else cin, cout, 1, bias=bias)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(h if self.of_output else x)
        return x + h


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v = (conv(channels, channels, 1) for _ in range(3))
        self.proj_out = conv(channels, channels, 1)

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))
        weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(2)
        return x + self.proj_out((v @ weights.transpose(1, 2)).view_as(x))


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


def double(x):
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = conv(channels, channels)

    def forward(self, x):
        return self.conv(double(x))


class Level(nn.Module):
    """Blocks, each with attention or not, then another resolution. The names of the parts are the variant's."""

    def __init__(self, config, cin, cout, blocks, attention, resample, decoder):
        super().__init__()
        self.names = config.names
        self.decoder, self.resample = decoder, resample
        maskgit = config.variant == "maskgit"
        res = nn.ModuleList()
        for i in range(blocks):
            res.append(Res(cout if i else cin, cout, not maskgit, maskgit))
        setattr(self, self.names["block"], res)
        self.attn = nn.ModuleList(Attention(cout) for _ in range(blocks if attention else 0))
        if resample and decoder and maskgit:
            self.upsample_conv = conv(cout, cout)
        elif resample and decoder:
            self.upsample = Up(cout)
        elif resample and not maskgit:
            self.downsample = Down(cout)

    def forward(self, x):
        for i, block in enumerate(getattr(self, self.names["block"])):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        if not self.resample:
            return x
        if hasattr(self, "upsample_conv"):
            return self.upsample_conv(double(x))
        if self.decoder:
            return self.upsample(x)
        return self.downsample(x) if hasattr(self, "downsample") else F.avg_pool2d(x, 2)


class Middle(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block_1, self.attn_1 = Res(channels, channels), Attention(channels)
        self.block_2 = Res(channels, channels)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


def middle(config, channels):
    if config.variant == "maskgit":
        return nn.Sequential(*(Res(channels, channels, False, True) for _ in range(config.blocks)))
    if config.variant == "llamagen":
        return nn.Sequential(Res(channels, channels), Attention(channels), Res(channels, channels))
    return Middle(channels)


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths, last = config.widths, len(config.widths) - 1
        self.conv_in = conv(3, config.ch, bias=config.variant != "maskgit")
        levels, cin = nn.ModuleList(), config.ch
        for i, cout in enumerate(widths):
            levels.append(Level(config, cin, cout, config.blocks, config.attention and i == last,
                                i < last, False))
            cin = cout
        setattr(self, config.names["down"], levels)
        self.levels = lambda: levels
        self.mid = middle(config, cin)
        self.norm_out = norm(cin)
        self.conv_out = conv(cin, config.z, 1 if config.variant == "maskgit" else 3)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.levels():
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths, last = config.widths, len(config.widths) - 1
        cin = widths[last]
        self.conv_in = conv(config.z, cin)
        self.mid = middle(config, cin)
        blocks = config.blocks + (config.variant != "maskgit")
        run = []
        for i in reversed(range(len(widths))):
            run.append(Level(config, cin, widths[i], blocks, config.attention and i == last, i > 0,
                             True))
            cin = widths[i]
        # LlamaGen lists levels as they run, the others from the largest resolution on.
        setattr(self, config.names["up"],
                nn.ModuleList(run if config.variant == "llamagen" else run[::-1]))
        self.run = lambda: run
        self.norm_out = norm(cin)
        self.conv_out = conv(cin, 3)

    def forward(self, x):
        x = self.mid(self.conv_in(x))
        for level in self.run():
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Quantizer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.codes, config.width)
        if config.variant == "llamagen":
            self.register_buffer("codebook_used", torch.zeros(1024))


class Config:
    def __init__(self, variant, full):
        self.variant = variant
        self.attention = variant in ("taming", "llamagen")
        self.ch = 128 if full else 32
        self.widths = (128, 128, 256, 256, 512) if full else (32, 32, 64, 32, 64)
        self.blocks = 2 if full or variant == "maskgit" else 1
        self.z = 256 if full else 32
        self.width = 8 if variant == "llamagen" else self.z if full or variant == "maskgit" else 16
        self.codes = {"taming": 1024, "llamagen": 16384, "maskgit": 1024,
                      "chameleon": 8192}[variant] if full else 97
        llamagen = variant == "llamagen"
        self.names = {"block": "res" if llamagen else "block",
                      "down": "conv_blocks" if llamagen else "down",
                      "up": "conv_blocks" if llamagen else "up"}


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.encoder, self.decoder, self.quantize = Encoder(config), Decoder(config), Quantizer(config)
        if config.variant != "maskgit":
            self.quant_conv = conv(config.z, config.width, 1)
            self.post_quant_conv = conv(config.width, config.z, 1)

    def encode(self, square):
        x = torch.from_numpy(square).permute(2, 0, 1)[None]
        x = x / 255 if self.config.variant == "maskgit" else x / 127.5 - 1
        x = self.encoder(x)
        return self.quant_conv(x) if hasattr(self, "quant_conv") else x

    def table(self):
        table = self.quantize.embedding.weight
        return F.normalize(table, dim=1) if self.config.variant == "llamagen" else table

    def distances(self, z):
        """[256, K], in double: what the published fp32 sums mean."""
        rows = z[0].permute(1, 2, 0).reshape(-1, z.shape[1]).double()
        if self.config.variant == "llamagen":
            rows = F.normalize(rows, dim=1)
        table = self.table().double()
        return rows.square().sum(1, keepdim=True) + table.square().sum(1) - 2 * rows @ table.T

    def decode(self, codes):
        q = self.table()[codes].view(1, 16, 16, -1).permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(q) if hasattr(self, "post_quant_conv") else q)


MASK = (1 << 64) - 1


def hash_name(name, seed):
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & MASK
    return key + seed * 0xD1342543DE82EF95 & MASK


def uniform(key, n):
    """In [-1, 1), 24 bits: splitmix64 of key and index."""
    with numpy.errstate(over="ignore"):
        x = numpy.uint64(key) + numpy.arange(1, n + 1, dtype=numpy.uint64) * numpy.uint64(
            0x9E3779B97F4A7C15)
        x = (x ^ x >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
        x ^= x >> numpy.uint64(31)
    return ((x >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(1 << 23)) - numpy.float32(1)


def value(name, shape, seed):
    """Weights that keep the size of activations, biases and norms that are not trivial."""
    u = uniform(hash_name(name, seed), int(numpy.prod(shape)))
    if len(shape) == 4:
        u = u * numpy.float32((3.0 / (shape[1] * shape[2] * shape[3])) ** 0.5)
    elif len(shape) == 1 and name.endswith("weight"):
        u = numpy.float32(1) + u * numpy.float32(0.25)
    elif len(shape) == 1:
        u = u * numpy.float32(0.125)
    return u.reshape(shape)


def square():
    """Gradients, edges, and one bright pixel in the last row and column."""
    y, x, c = numpy.mgrid[0:256, 0:256, 0:3]
    s = (x * 3 + y * 2 + c * 50 + (x // 16 + y // 24) % 3 * 60 + x * y // 64) % 256 // 2 + 30
    s[255, :, :] = 40
    s[:, 255, :] = 200
    s[255, 255, :] = (255, 0, 255)
    return s.astype(numpy.uint8)


def photo_like(seed):
    """For the full size: smooth noise at several scales, edges, an impulse in the last row and column."""
    generator = numpy.random.default_rng(seed)
    s = numpy.zeros((256, 256, 3))
    for side in (4, 16, 64, 256):
        noise = torch.from_numpy(generator.standard_normal((1, 3, side, side)))
        s += F.interpolate(noise, size=256, mode="bicubic")[0].permute(1, 2, 0).numpy() * 40
    s = numpy.clip(s + 128, 0, 255).astype(numpy.uint8)
    s[255, :, :] = s[:, 255, :] = 20
    s[255, 255] = 255
    return s


DTYPES = {numpy.dtype("float32"): "F32", numpy.dtype("int32"): "I32", numpy.dtype("uint8"): "U8"}


def save(path, tensors, metadata):
    header, body = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        data = numpy.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": DTYPES[array.dtype], "shape": array.shape,
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + body)


def reference(model, image, n):
    z = model.encode(image)
    near = model.distances(z).topk(2, dim=1, largest=False)
    codes = near.indices[:, 0]
    gap = (near.values[:, 1] - near.values[:, 0]).min().item()
    pixels = model.decode(codes)[0].permute(1, 2, 0).reshape(-1, 3)
    step = 65536 // n
    places = torch.arange(n) * step + torch.arange(n) * 7 % step
    z = z[0].permute(1, 2, 0)
    print("  z rms %.3f, pixels rms %.3f, %d codes, smallest gap of squared distances %.1e" %
          (z.square().mean().sqrt(), pixels.square().mean().sqrt(), len(codes.unique()), gap))
    tensors = {"z": z, "codes": codes.int(), "pixels": pixels[places]}
    return {name: t.contiguous().numpy() for name, t in tensors.items()}, gap


def make_small(variant, path):
    for seed in range(1, 100):
        model = Model(Config(variant, False)).eval()
        state = {name: t for name, t in model.state_dict().items()}
        for name, t in state.items():
            if "codebook_used" not in name:
                t.copy_(torch.from_numpy(value(name, tuple(t.shape), seed)))
        print(variant, "seed", seed)
        tensors, gap = reference(model, square(), 1024)
        if gap > 3e-4:
            break
    names = ";".join("%s:%s" % (name, ",".join(map(str, t.shape))) for name, t in state.items())
    save(path, tensors, {"format": variant, "seed": str(seed), "tensors": names})


def make_full(variant, seed, folder):
    torch.manual_seed(seed)
    model = Model(Config(variant, True)).eval()
    for name, t in model.state_dict().items():
        if t.dim() == 4:
            nn.init.normal_(t, std=(t.shape[1] * t.shape[2] * t.shape[3]) ** -0.5)
        elif t.dim() == 2:
            nn.init.normal_(t, std=0.5)
        elif "codebook_used" not in name:
            nn.init.normal_(t, mean=1.0 if name.endswith("weight") else 0.0, std=0.1)
    print(variant, "seed", seed)
    image = photo_like(seed)
    tensors, _ = reference(model, image, 65536)
    os.makedirs(folder, exist_ok=True)
    tensors["square"] = image
    save(os.path.join(folder, "reference.safetensors"), tensors, {"format": variant, "seed": str(seed)})
    state, path = model.state_dict(), os.path.join(folder, "weights")
    if variant == "maskgit":
        save(path, {name: t.numpy() for name, t in state.items()}, {})
        return
    state["loss.discriminator.main.0.weight"] = torch.zeros(64, 3, 4, 4)
    wrapped = {"taming": {"epoch": 3, "state_dict": state, "optimizer_states": [{}]},
               "llamagen": {"model": state, "steps": 7}, "chameleon": {"state_dict": state}}[variant]
    torch.save(wrapped, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", choices=VARIANTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", default=".")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    if options.full:
        make_full(options.full, options.seed, options.output)
        return
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
    for variant in VARIANTS:
        make_small(variant, os.path.join(here, "taming_%s.safetensors" % variant))


main()
