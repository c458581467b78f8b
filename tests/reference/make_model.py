#!/usr/bin/env python3
"""make_model.py - ten training steps of small models in PyTorch, for test_model.

    python3 tests/reference/make_model.py
    python3 tests/reference/make_model.py --kind llama
    python3 tests/reference/make_model.py --kind captioner
    python3 tests/reference/make_model.py --seed 5 --layers 3 -o other.safetensors
    build/release/tests/test_model other.safetensors

The first three lines make tests/vectors/model_gpt2.safetensors, model_llama.safetensors and
model_captioner.safetensors (PyTorch 2.13, transformers 5.24, CPU). The first is GPT2LMHeadModel of
transformers, the second LlamaForCausalLM with heads that share keys, a head size of its own, an odd
hidden size and a head that is not tied. The third is GPT2LMHeadModel behind an encoder of image codes,
nn.TransformerEncoder, and a linear map from neighbouring places to rows in front of the text. Tokens are
the characters of an English text. Each step is two sequences of different length; the first targets of
the second do not count. PyTorch runs one sequence after the other, without packing and without a mask
but the causal one. It computes in fp64, which is rounded at the end: what differs is ours.

Tensors of the file ("*" is the name of a parameter as the model of this project has it):

    ids, targets    [steps, rows] I32   both sequences one after the other; target -1 does not count
    lengths         [2] I32             rows of each sequence
    codes           [steps, 2, places] I32   captioner: of the image in front of each sequence
    logits          [rows, vocabulary]  of the first step
    start.*  last.*                     weights before the first and after the last step
    first_grad.*                        gradients of the first step, before clipping
    losses, norms   [steps] F64         mean loss of the counted rows; norm of all gradients

The metadata holds kind, sizes and what the optimiser was given, as words."""

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


def gpt2(args, vocabulary):
    from transformers import GPT2Config, GPT2LMHeadModel  # other scripts import this one without it
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=vocabulary, n_positions=max(args.lengths), n_embd=args.width, n_layer=args.layers,
        n_head=args.heads, n_inner=args.hidden, activation_function="gelu_new", resid_pdrop=0,
        embd_pdrop=0, attn_pdrop=0, bos_token_id=None,
        eos_token_id=None, attn_implementation="eager"))


def gpt2_parameters(model, layers):
    """Our name -> (parameter, whether it is stored [in, out])."""
    p = dict(model.named_parameters())
    names = {"embed.tokens.weight": ("transformer.wte.weight", False),
             "embed.positions.weight": ("transformer.wpe.weight", False)}
    parts = {"norm1": "ln_1", "attention.qkv": "attn.c_attn", "attention.out": "attn.c_proj",
             "norm2": "ln_2", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
    for i in range(layers):
        for ours, theirs in parts.items():
            names[f"trunk.{i}.{ours}.weight"] = (f"transformer.h.{i}.{theirs}.weight", "c_" in theirs)
            names[f"trunk.{i}.{ours}.bias"] = (f"transformer.h.{i}.{theirs}.bias", False)
    for kind in ("weight", "bias"):
        names[f"trunk.norm.{kind}"] = (f"transformer.ln_f.{kind}", False)
    return {ours: (p[theirs], turned) for ours, (theirs, turned) in names.items()}


def llama(args, vocabulary):
    from transformers import LlamaConfig, LlamaForCausalLM
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, max_position_embeddings=max(args.lengths), hidden_size=args.width,
        num_hidden_layers=args.layers, num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads, head_dim=args.head_size, intermediate_size=args.hidden,
        hidden_act="silu", rms_norm_eps=1e-5, tie_word_embeddings=False, attention_bias=False,
        mlp_bias=False, attn_implementation="eager"))


def llama_parameters(model, layers):
    """Our name -> (parameters, below each other in ours)."""
    p = dict(model.named_parameters())
    names = {"embed.tokens.weight": ["model.embed_tokens.weight"],
             "trunk.norm.weight": ["model.norm.weight"], "head.weight": ["lm_head.weight"]}
    parts = {"norm1": ["input_layernorm"],
             "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
             "attention.out": ["self_attn.o_proj"], "norm2": ["post_attention_layernorm"],
             "mlp.gate": ["mlp.gate_proj"], "mlp.up": ["mlp.up_proj"], "mlp.down": ["mlp.down_proj"]}
    for i in range(layers):
        for ours, theirs in parts.items():
            names[f"trunk.{i}.{ours}.weight"] = [f"model.layers.{i}.{t}.weight" for t in theirs]
    return {ours: [p[t] for t in theirs] for ours, theirs in names.items()}


class Gpt2(nn.Module):
    """The paper's form of CM3."""

    def __init__(self, args, vocabulary):
        super().__init__()
        self.model = gpt2(args, vocabulary)
        self.layers = args.layers

    def forward(self, ids, codes):
        return self.model(input_ids=ids[None]).logits[0]

    def ours(self, what):
        """Weights (or whatever `what` makes of a parameter) by our names."""
        return {name: what(p).T if turned else what(p)
                for name, (p, turned) in gpt2_parameters(self.model, self.layers).items()}


class Llama(nn.Module):
    def __init__(self, args, vocabulary):
        super().__init__()
        self.model = llama(args, vocabulary)
        self.layers = args.layers

    def forward(self, ids, codes):
        return self.model(input_ids=ids[None]).logits[0]

    def ours(self, what):
        return {name: torch.cat([what(p) for p in parts])
                for name, parts in llama_parameters(self.model, self.layers).items()}


class Captioner(Gpt2):
    """Frozen (Tsimpoukelli et al. 2021) and ClipCap (Mokady et al. 2021) with codes for pixels."""

    def __init__(self, args, vocabulary):
        super().__init__(args, vocabulary)
        c = args.image_width
        self.prefix = args.prefix
        self.tokens, self.positions = nn.Embedding(args.codes, c), nn.Embedding(args.places, c)
        layer = nn.TransformerEncoderLayer(
            c, args.image_heads, 4 * c, dropout=0, norm_first=True, batch_first=True,
            activation=lambda x: F.gelu(x, approximate="tanh"))
        self.encoder = nn.TransformerEncoder(layer, args.image_layers, norm=nn.LayerNorm(c),
                                             enable_nested_tensor=False)
        self.bridge = nn.Linear(args.places // args.prefix * c, args.width)

    def forward(self, ids, codes):
        seen = self.encoder((self.tokens(codes) + self.positions.weight)[None])[0]
        x = self.model.transformer.wte(ids)
        x = torch.cat((self.bridge(seen.reshape(self.prefix, -1)), x[self.prefix:]))
        return self.model(inputs_embeds=x[None]).logits[0]

    def ours(self, what):
        out = super().ours(what)
        parts = {"norm1": "norm1", "attention.out": "self_attn.out_proj", "norm2": "norm2",
                 "mlp.up": "linear1", "mlp.down": "linear2"}
        for i, layer in enumerate(self.encoder.layers):
            p = dict(layer.named_parameters())
            for kind in ("weight", "bias"):
                out[f"encoder.{i}.attention.qkv.{kind}"] = what(p[f"self_attn.in_proj_{kind}"])
                for ours, theirs in parts.items():
                    out[f"encoder.{i}.{ours}.{kind}"] = what(p[f"{theirs}.{kind}"])
        out["encoder.tokens.weight"] = what(self.tokens.weight)
        out["encoder.positions.weight"] = what(self.positions.weight)
        for kind in ("weight", "bias"):
            out[f"encoder.norm.{kind}"] = what(getattr(self.encoder.norm, kind))
            out[f"bridge.{kind}"] = what(getattr(self.bridge, kind))
        return out


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
            if args.kind == "captioner":
                target[:args.prefix] = -1  # rows of the image
            row_ids.append(part[:-1])
            row_targets.append(target)
        ids.append(torch.cat(row_ids))
        targets.append(torch.cat(row_targets))
    return torch.stack(ids), torch.stack(targets), len(letters)


def train(args):
    """Everything that the file holds, by name."""
    ids, targets, vocabulary = batches(args)
    codes = torch.randint(args.codes, (args.steps, len(args.lengths), args.places),
                          generator=torch.Generator().manual_seed(args.seed))
    model = {"gpt2": Gpt2, "llama": Llama, "captioner": Captioner}[args.kind](args, vocabulary)
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Large enough that every part matters, biases and gains included.
            nn.init.normal_(p, std=1.2 / args.width**0.5 if p.dim() > 1 else 0.1)
            if p.dim() == 1 and "weight" in name:
                p += 1
    model.float().double()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(args.beta1, args.beta2),
                                  eps=args.epsilon, weight_decay=args.decay)
    out = {"ids": ids.int(), "targets": targets.int(),
           "lengths": torch.tensor(args.lengths, dtype=torch.int32)}
    if args.kind == "captioner":
        out["codes"] = codes.int()
    out |= {"start." + name: p for name, p in model.ours(lambda p: p.detach().clone()).items()}
    losses, norms = [], []
    for step in range(args.steps):
        logits = torch.cat([model(part, image)
                            for part, image in zip(ids[step].split(args.lengths), codes[step])])
        loss = F.cross_entropy(logits, targets[step], ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach().clone()
            out |= {"first_grad." + name: g for name, g in model.ours(lambda p: p.grad.clone()).items()}
        norms.append(nn.utils.clip_grad_norm_(parameters, args.clip).item())
        optimizer.step()
        losses.append(loss.item())
    out |= {"last." + name: p for name, p in model.ours(lambda p: p.detach().clone()).items()}
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
    parser.add_argument("--kind", choices=("gpt2", "llama", "captioner"), default="gpt2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--width", type=int, help="of the trunk")
    parser.add_argument("--heads", type=int)
    parser.add_argument("--kv-heads", type=int, help="llama")
    parser.add_argument("--head-size", type=int, help="llama")
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--codes", type=int, default=11, help="captioner: of the codebook")
    parser.add_argument("--places", type=int, default=12, help="captioner: codes of an image")
    parser.add_argument("--prefix", type=int, default=3, help="captioner: rows of an image")
    parser.add_argument("--image-width", type=int, default=6, help="captioner: of the encoder")
    parser.add_argument("--image-heads", type=int, default=2)
    parser.add_argument("--image-layers", type=int, default=2)
    parser.add_argument("--lengths", type=lambda s: list(map(int, s.split(","))), default=[7, 13],
                        help="rows of each sequence, with commas")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--beta1", type=float, default=0.9)
    parser.add_argument("--beta2", type=float, default=0.95)
    parser.add_argument("--epsilon", type=float, default=1e-8)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("-o", "--output")
    args = parser.parse_args()
    for name, sizes in {"layers": (2, 2, 1), "width": (24, 20, 12), "heads": (3, 4, 3),
                        "kv_heads": (3, 2, 3), "head_size": (8, 6, 4), "hidden": (96, 37, 48)}.items():
        if getattr(args, name) is None:
            setattr(args, name, sizes[("gpt2", "llama", "captioner").index(args.kind)])
    vectors = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
    path = args.output or os.path.join(vectors, f"model_{args.kind}.safetensors")

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    tensors = train(args)
    words = ("kind", "seed", "layers", "heads", "kv_heads", "head_size", "hidden", "lr", "beta1", "beta2",
             "epsilon", "decay", "clip")
    words += ("prefix", "image_heads", "image_layers") if args.kind == "captioner" else ()
    metadata = {word: str(getattr(args, word)) for word in words}
    write_safetensors(path, tensors, metadata | {"torch": torch.__version__})
    print(f"{path}: {os.path.getsize(path)} bytes, losses", *(f"{x:.4f}" for x in tensors["losses"]),
          "norms", *(f"{x:.2f}" for x in tensors["norms"]))


if __name__ == "__main__":
    main()
