#!/usr/bin/env python3
"""torch_files.py - files written by torch.save(), for test_weights.

Writes ../vectors/torch/*.pt and expected.tsv: file, tensor, shape, bits of the values as float32.
`-` in place of the bits: a tensor of integers. Also ../fuzz/seeds/torch/. PyTorch 2.13.
"""
import argparse
import collections
import io
import os
import struct
import zipfile

import torch

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
FOLDER = os.path.join(TESTS, "vectors", "torch")
SEEDS = os.path.join(TESTS, "fuzz", "seeds", "torch")


class Callback:  # what no reader without this script can make
    def __init__(self):
        self.best = torch.ones(2)
        self.again = self


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 2)
        self.norm = torch.nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x))


def bits(tensor):
    if not tensor.is_floating_point():
        return "-"
    values = tensor.detach().to(torch.float32).flatten().tolist()
    return " ".join("%08x" % struct.unpack("<I", struct.pack("<f", v))[0] for v in values)


def write_seeds():
    """A whole file, and pickles whose storages are those that fuzz_torch adds: 6 floats, 8 bytes."""
    content = {"epoch": 1, "hook": Callback, "args": argparse.Namespace(a=1.5, b=b"x"),
               "state_dict": collections.OrderedDict(
                   w=torch.nn.Parameter(torch.arange(6.).reshape(2, 3).t()),
                   n={"h": torch.zeros(4).half()[1:]})}
    for protocol in (2, 5):
        file = io.BytesIO()
        torch.save(content, file, pickle_protocol=protocol)
        with zipfile.ZipFile(file) as members:
            pickle = members.read("archive/data.pkl")
        with open(os.path.join(SEEDS, "pickle%d" % protocol), "wb") as out:
            out.write(b"\1" + pickle)
    with open(os.path.join(SEEDS, "file"), "wb") as out:
        out.write(b"\0" + file.getvalue())


def main():
    write_seeds()
    torch.manual_seed(1)
    rows = []

    def save(file, content, tensors, **options):
        torch.save(content, os.path.join(FOLDER, file), **options)
        for name, t in tensors.items():
            rows.append((file, name, "x".join(map(str, t.shape)), bits(t)))

    net = Net()
    adam = torch.optim.Adam(net.parameters())
    net(torch.randn(2, 2, 5, 5)).square().sum().backward()
    adam.step()
    state = net.state_dict()  # an OrderedDict with the attribute _metadata
    save("plain.pt", state, state)
    save("protocol3.pt", state, state, pickle_protocol=3)
    save("protocol5.pt", state, state, pickle_protocol=5)

    callbacks = {Callback: {"best": torch.ones(1)}, "k": Callback()}
    save("lightning.ckpt", {
        "epoch": 3, "global_step": 1 << 40, "pytorch-lightning_version": "1.9.0",
        "callbacks": callbacks, "optimizer_states": [adam.state_dict()], "lr_schedulers": [],
        "hyper_parameters": argparse.Namespace(lr=4.5e-6, size=torch.Size([1, 2]),
                                               dtype=torch.float32, device=torch.device("cpu"),
                                               names={"a", "b"}, blob=b"\0\1",
                                               counts=collections.Counter("aab")),
        "state_dict": state}, state)

    model = {"w": torch.randn(2, 3)}
    ema = {"w": torch.randn(2, 3)}
    save("model_ema.pt", {"ema": ema, "model": model, "args": argparse.Namespace(a=1)}, model)
    save("ema.pt", {"module": model, "ema": ema, "model": None}, ema)
    save("module.pt", {"module": model, "epoch": 1}, model)
    save("nested.pt", {"encoder": {"block": {"w": model["w"]}, "n": 3, 7: ema["w"]},
                       "ema.w": ema["w"], "list": [ema["w"]]},
         {"encoder.block.w": model["w"], "ema.w": ema["w"]})

    x = torch.randn(7)
    types = {str(t)[6:]: (x * 4).to(t) for t in (
        torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool)}
    types["parameter"] = torch.nn.Parameter(x)
    types["frozen"] = torch.nn.Parameter(x, requires_grad=False)
    types["tagged"] = torch.nn.Parameter(x)
    types["tagged"].note = "an attribute"
    # No storage type of its own, or none that is known: left out.
    unknown = {"uint16": torch.ones(2, dtype=torch.uint16), "complex": torch.ones(2) * 1j}
    save("types.pt", {**types, **unknown}, types)

    base = torch.randn(6, 5)
    views = {
        "base": base, "transposed": base.t(), "row": base[4], "column": base[:, 3],
        "steps": base[1::2, ::3], "expanded": base[:, :1].expand(6, 4),
        "overlap": base.as_strided((4, 6), (2, 1), 3), "windows": base.flatten().unfold(0, 4, 1),
        "permuted": torch.randn(2, 3, 4, 5).permute(2, 0, 3, 1),
        "rank8": torch.randn(1, 2, 1, 3, 1, 2, 1, 2).transpose(1, 5),
        "scalar": torch.tensor(2.5), "empty": torch.empty(0, 3), "one": torch.randn(1, 1),
        "half": torch.randn(4, 6).half().t()[1:5],
    }
    save("views.pt", views, views)

    torch.save(state, os.path.join(FOLDER, "legacy.pt"), _use_new_zipfile_serialization=False)
    torch.save(net, os.path.join(FOLDER, "object.pt"))
    torch.jit.script(torch.nn.ReLU()).save(os.path.join(FOLDER, "script.pt"))
    with open(os.path.join(FOLDER, "expected.tsv"), "w", encoding="ascii") as out:
        for row in rows:
            out.write("\t".join(row) + "\n")


if __name__ == "__main__":
    main()
