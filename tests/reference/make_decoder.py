#!/usr/bin/env python3
"""make_decoder.py - ten training steps of a small decoder in PyTorch, for test_decoder.

    python3 tests/reference/make_decoder.py
    python3 tests/reference/make_decoder.py --kind llama --width 18 --heads 3 --kv-heads 1
    python3 tests/reference/make_decoder.py --seed 5 --layers 3 -o other.safetensors
    build/release/tests/test_decoder other.safetensors

The first two lines make tests/vectors/decoder_gpt2.safetensors and decoder_llama.safetensors
(PyTorch 2.13, CPU, fp32). The model is the one of vlm-bench step, in small: pre-norm, causal, tied
embeddings, characters of an English text as tokens. Each step is two sequences of different length;
the first targets of the second do not count. PyTorch runs one sequence after the other, without
packing and without a mask but the causal one.

Tensors of the file ("*" is the name of a parameter, P their number):

    ids, targets    [steps, rows] I32   both sequences one after the other; target -1 does not count
    lengths         [2] I32             rows of each sequence
    start.*  last.*                     weights before the first and after the last step
    first_grad.*  last_grad.*           gradients of the first and the last step, before clipping
    losses, norms   [steps] F64         mean loss of the counted rows; norm of all gradients

The metadata holds kind, heads, kv_heads, lr, beta1, beta2, epsilon, decay, clip as words."""

import argparse
import json
import os
import struct

import numpy
import torch
import torch.nn.functional as F
from torch import nn

# Mary Shelley, Frankenstein (1818), the first letter; Lewis Carroll, Alice (1865). Public domain.
TEXT = """You will rejoice to hear that no disaster has accompanied the commencement of an
enterprise which you have regarded with such evil forebodings. I arrived here yesterday, and my first
task is to assure my dear sister of my welfare and increasing confidence in the success of my
undertaking. I am already far north of London, and as I walk in the streets of Petersburgh, I feel a
cold northern breeze play upon my cheeks, which braces my nerves and fills me with delight. Do you
understand this feeling? This breeze, which has travelled from the regions towards which I am
advancing, gives me a foretaste of those icy climes.
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to
do: once or twice she had peeped into the book her sister was reading, but it had no pictures or
conversations in it, "and what is the use of a book," thought Alice "without pictures or
conversations?" So she was considering in her own mind (as well as she could, for the hot day made
her feel very sleepy and stupid), whether the pleasure of making a daisy-chain would be worth the
trouble of getting up and picking the daisies, when suddenly a White Rabbit with pink eyes ran close
by her. There was nothing so very remarkable in that; nor did Alice think it so very much out of the
way to hear the Rabbit say to itself, "Oh dear! Oh dear! I shall be late!"
"""


class Gpt2Block(nn.Module):
    """Pre-norm with LayerNorm, biases, tanh-GELU: Radford et al. 2019."""

    def __init__(self, args):
        super().__init__()
        c = args.width
        self.heads = args.heads
        self.norm1, self.qkv, self.out = nn.LayerNorm(c), nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.norm2, self.up, self.down = nn.LayerNorm(c), nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(t, 3, self.heads, -1).permute(1, 2, 0, 3)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(0, 1).reshape(t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


def rotate(x):
    """Rotary positions on pairs (i, i + half): x [heads, t, size]; Su et al. 2021, in Llama's layout."""
    half = x.shape[-1] // 2
    inverse = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * inverse
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class LlamaBlock(nn.Module):
    """RMSNorm, rotary positions, grouped heads, SwiGLU, no biases: Touvron et al. 2023."""

    def __init__(self, args):
        super().__init__()
        c, size, hidden = args.width, args.width // args.heads, args.width * 8 // 3
        self.heads, self.kv_heads = args.heads, args.kv_heads
        self.norm1, self.norm2 = nn.RMSNorm(c, eps=1e-5), nn.RMSNorm(c, eps=1e-5)
        self.q = nn.Linear(c, c, bias=False)
        self.k = nn.Linear(c, args.kv_heads * size, bias=False)
        self.v = nn.Linear(c, args.kv_heads * size, bias=False)
        self.out = nn.Linear(c, c, bias=False)
        self.gate, self.up = nn.Linear(c, hidden, bias=False), nn.Linear(c, hidden, bias=False)
        self.down = nn.Linear(hidden, c, bias=False)

    def forward(self, x):
        t, c = x.shape
        h = self.norm1(x)
        q = rotate(self.q(h).view(t, self.heads, -1).transpose(0, 1))
        k = rotate(self.k(h).view(t, self.kv_heads, -1).transpose(0, 1))
        v = self.v(h).view(t, self.kv_heads, -1).transpose(0, 1)
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, 0) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(0, 1).reshape(t, c))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    def __init__(self, args, vocabulary):
        super().__init__()
        gpt2 = args.kind == "gpt2"
        self.embed = nn.Embedding(vocabulary, args.width)
        self.place = nn.Embedding(max(args.lengths), args.width) if gpt2 else None
        block = Gpt2Block if gpt2 else LlamaBlock
        self.blocks = nn.ModuleList(block(args) for _ in range(args.layers))
        self.norm = nn.LayerNorm(args.width) if gpt2 else nn.RMSNorm(args.width, eps=1e-5)

    def forward(self, ids):
        """Logits [t, vocabulary] of one sequence."""
        x = self.embed(ids)
        if self.place:
            x = x + self.place.weight[:len(ids)]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.embed.weight)


def batches(args):
    """ids and targets [steps, rows], and how many different characters there are."""
    letters = sorted(set(TEXT))
    text = torch.tensor([letters.index(c) for c in TEXT])
    ids, targets, at = [], [], 0
    for _ in range(args.steps):
        row_ids, row_targets = [], []
        for number, length in enumerate(args.lengths):
            part = text[torch.arange(at, at + length + 1) % len(text)]
            at += length + 1
            target = part[1:].clone()
            if number:
                target[:3] = -1
            row_ids.append(part[:-1])
            row_targets.append(target)
        ids.append(torch.cat(row_ids))
        targets.append(torch.cat(row_targets))
    return torch.stack(ids), torch.stack(targets), len(letters)


def train(args):
    """Everything that the file holds, by name."""
    ids, targets, vocabulary = batches(args)
    model = Decoder(args, vocabulary)
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Large enough that every part matters, biases and gains included.
            nn.init.normal_(p, std=1.2 / args.width**0.5 if p.dim() > 1 else 0.1)
            if "norm" in name and name.endswith("weight"):
                p += 1
    model.to(torch.float64 if args.double else torch.float32)
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(parameters.values(), lr=args.lr, betas=(args.beta1, args.beta2),
                                  eps=args.epsilon, weight_decay=args.decay)
    out = {"ids": ids.int(), "targets": targets.int(),
           "lengths": torch.tensor(args.lengths, dtype=torch.int32)}
    out |= {"start." + name: p.detach().clone() for name, p in parameters.items()}
    losses, norms = [], []
    for step in range(args.steps):
        logits = torch.cat([model(part) for part in ids[step].split(args.lengths)])
        loss = F.cross_entropy(logits, targets[step], ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        for when, number in (("first", 0), ("last", args.steps - 1)):
            if step == number:
                out |= {f"{when}_grad.{name}": p.grad.clone() for name, p in parameters.items()}
        norms.append(nn.utils.clip_grad_norm_(parameters.values(), args.clip).item())
        optimizer.step()
        losses.append(loss.item())
    out |= {"last." + name: p.detach().clone() for name, p in parameters.items()}
    out = {name: t.float() if t.is_floating_point() else t for name, t in out.items()}
    out["losses"] = torch.tensor(losses, dtype=torch.float64)
    out["norms"] = torch.tensor(norms, dtype=torch.float64)
    return out


def write_safetensors(path, tensors, metadata):
    kinds = {torch.float32: "F32", torch.float64: "F64", torch.int32: "I32"}
    # Wide numbers first, so that each is aligned.
    tensors = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        raw = numpy.ascontiguousarray(tensor.numpy()).tobytes()
        header[name] = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("gpt2", "llama"), default="gpt2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=15)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--kv-heads", type=int, help="llama; default: as many as heads")
    parser.add_argument("--lengths", type=lambda s: list(map(int, s.split(","))), default=[33, 20],
                        help="rows of each sequence, with commas")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--beta1", type=float, default=0.9)
    parser.add_argument("--beta2", type=float, default=0.95)
    parser.add_argument("--epsilon", type=float, default=1e-8)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--double", action="store_true", help="compute in fp64, round at the end")
    parser.add_argument("-o", "--output")
    args = parser.parse_args()
    args.kv_heads = args.kv_heads or args.heads
    vectors = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
    path = args.output or os.path.join(vectors, f"decoder_{args.kind}.safetensors")

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    tensors = train(args)
    words = ("kind", "seed", "heads", "kv_heads", "lr", "beta1", "beta2", "epsilon", "decay", "clip")
    metadata = {word: str(getattr(args, word)) for word in words}
    write_safetensors(path, tensors, metadata | {"torch": torch.__version__})
    print(f"{path}: {os.path.getsize(path)} bytes, losses", *(f"{x:.4f}" for x in tensors["losses"]),
          "norms", *(f"{x:.2f}" for x in tensors["norms"]))


if __name__ == "__main__":
    main()
