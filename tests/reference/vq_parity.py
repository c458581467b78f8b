#!/usr/bin/env python3
"""Writes tests/vectors/vq.safetensors: a small graph of the form of vq-s in PyTorch, its loss and gradients.

    tests/reference/vq_parity.py [-o FILE]

Tensors of the file, everything in the layout of vlm (images [N, H, W, C], conv weights [out, 3, 3, in],
blocks of pixels as channels in the order (row, column, channel)):

    weight.*          parameters, by their names in a model file; weight.codebook.weight has rows of length 1
    x                 [2, 32, 48, 3] pixels
    z, y              latents of length 1, reconstruction
    codes             [12] I32
    losses            [4] F64: whole loss; mean |e|; mean e^2; the sum over scales
    grad.*            of the whole loss

The loss is 0.7 mean |e| + 1.3 mean e^2 + 0.5 (sum over 3 scales) + 0.25 mean (z - q)^2."""

import argparse
import os

import torch
import torch.nn.functional as F
from make_model import write_safetensors
from torch import nn

STEM, WIDTHS, ENCODER, DECODER, GROUPS, CODES, WIDTH = 8, (8, 12), (1, 1), (1, 2), 4, 16, 4


class Res(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(GROUPS, channels, eps=1e-6) for _ in range(2))
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Half(nn.Module):
    """Modules of one direction, named as in a model file; those of changes by the level they lead to."""

    def __init__(self, stem, counts, change, changes, width, out):
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(nn.ModuleList(Res(w) for _ in range(n))
                                    for w, n in zip(WIDTHS, counts))
        setattr(self, change, nn.ModuleDict({str(level): conv for level, conv in changes.items()}))
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.out = out


class Tokenizer(nn.Module):
    def __init__(self):
        super().__init__()
        a, b = WIDTHS
        pixel = 3 * STEM * STEM
        self.encoder = Half(nn.Conv2d(pixel, a, 3, padding=1), ENCODER, "down",
                            {1: nn.Conv2d(4 * a, b, 1)}, b, nn.Conv2d(b, WIDTH, 1))
        self.decoder = Half(nn.Conv2d(WIDTH, b, 3, padding=1), DECODER, "up",
                            {0: nn.Conv2d(b, 4 * a, 1)}, a, nn.Conv2d(a, pixel, 3, padding=1))
        self.codebook = F.normalize(torch.randn(CODES, WIDTH), dim=1)

    def encode(self, x):
        half = self.encoder
        x = half.stem(F.pixel_unshuffle(x, STEM))
        for level, blocks in enumerate(half.blocks):
            if level:
                x = half.down[str(level)](F.pixel_unshuffle(x, 2))
            for block in blocks:
                x = block(x)
        return F.normalize(half.out(F.silu(half.norm(x))), dim=1)

    def decode(self, x):
        half = self.decoder
        x = half.stem(x)
        for level in reversed(range(len(WIDTHS))):
            if level + 1 < len(WIDTHS):
                x = F.pixel_shuffle(half.up[str(level)](x), 2)
            for block in half.blocks[level]:
                x = block(x)
        return F.pixel_shuffle(half.out(F.silu(half.norm(x))), STEM)


def scales(error):
    """As in peers of the whole training: 3 box-downsampled sizes, pixels and differences."""
    loss = 0.0
    for _ in range(3):
        error = F.avg_pool2d(error, 2)
        loss = loss + error.abs().mean() + error.diff(dim=2).abs().mean() \
            + error.diff(dim=3).abs().mean()
    return loss


def block_order(channels, block):
    """Where vlm's channel (i * block + j) * C + k is in PyTorch's order k * block^2 + i * block + j."""
    order = torch.arange(channels * block * block).view(channels, block, block)
    return order.permute(1, 2, 0).reshape(-1)


def ours(name, tensor):
    """A parameter, or its gradient, in vlm's layout."""
    if name.startswith("encoder.stem.weight"):
        tensor = tensor[:, block_order(3, STEM)]
    elif name.startswith("encoder.down.1.weight"):
        tensor = tensor[:, block_order(WIDTHS[0], 2)]
    elif name.startswith("decoder.up.0."):
        tensor = tensor[block_order(WIDTHS[0], 2)]
    elif name.startswith("decoder.out."):
        tensor = tensor[block_order(3, STEM)]
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output")
    args = parser.parse_args()
    vectors = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = Tokenizer().double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.float())
    model.codebook = model.codebook.float().double()
    x = (torch.rand(2, 3, 32, 48) * 2 - 1).double()

    z = model.encode(x)
    flat = z.permute(0, 2, 3, 1).reshape(-1, WIDTH)
    codes = (flat @ model.codebook.T).argmax(1)
    chosen = model.codebook[codes].view(2, 2, 3, WIDTH).permute(0, 3, 1, 2)
    y = model.decode(z + (chosen - z).detach())
    error = y - x
    parts = [error.abs().mean(), error.square().mean(), scales(error)]
    loss = 0.7 * parts[0] + 1.3 * parts[1] + 0.5 * parts[2] + 0.25 * F.mse_loss(z, chosen)
    loss.backward()

    out = {"losses": torch.stack([loss, *parts]).detach(), "codes": codes.int()}
    for name, tensor in (("x", x), ("z", z), ("y", y)):
        out[name] = tensor.detach().float().permute(0, 2, 3, 1).contiguous()
    out["weight.codebook.weight"] = model.codebook.float()
    for name, p in model.named_parameters():
        out["weight." + name] = ours(name, p.detach().float())
        out["grad." + name] = ours(name, p.grad.float())
    path = args.output or os.path.join(vectors, "vq.safetensors")
    write_safetensors(path, out, {"torch": torch.__version__, "seed": "5"})
    print(f"{path}: {os.path.getsize(path)} bytes, loss {loss.item():.6f}, codes {codes.tolist()}")


if __name__ == "__main__":
    main()
