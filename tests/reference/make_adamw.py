#!/usr/bin/env python3
"""Writes tests/vectors/adamw.tsv: ten steps of torch.optim.AdamW, with clipping by the global norm
and a moving average of the weights, for tests/test_optimizer.c.

    python3 tests/reference/make_adamw.py > tests/vectors/adamw.tsv      # PyTorch 2.13

Weights and gradients come from a formula that the test has too. Columns: configuration, step, what
(norm, p, m, v, average), parameter, element, value."""
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_avg_fn

# Sizes, whether weight decay applies, and the scale of the rate.
PARAMETERS = [(37, True, 1.0), (5, False, 1.0), (21, True, 0.5)]
CONFIGURATIONS = [
    dict(betas=(0.9, 0.95), eps=1e-8, decay=0.1, clip=1.0, average=0.9),
    dict(betas=(0.9, 0.999), eps=1e-6, decay=0.01, clip=0.0, average=0.99),
]
STEPS = 10


def number(parameter, step, i):
    """In [-1, 1), exact in a float; step 0: the weight."""
    word = (i * 7919 + parameter * 104729 + step * 1299709 + 12345) * 2654435761 % 2**32
    return (word >> 8) / 2.0**23 - 1


def vector(parameter, step, scale=1.0):
    size = PARAMETERS[parameter][0]
    return torch.tensor([number(parameter, step, i) for i in range(size)]) * scale


def rate(step):
    return 0.01 / step


def show(*fields):
    *names, value = fields
    print(*names, "%.9g" % value, sep="\t")


def run(index, configuration):
    weights = [torch.nn.Parameter(vector(k, 0)) for k in range(len(PARAMETERS))]
    averages = [w.detach().clone() for w in weights]
    groups = [
        dict(params=[w], weight_decay=configuration["decay"] if decays else 0.0)
        for w, (_, decays, _) in zip(weights, PARAMETERS)
    ]
    optimizer = torch.optim.AdamW(
        groups, betas=configuration["betas"], eps=configuration["eps"], foreach=False
    )
    average = get_ema_avg_fn(configuration["average"])
    for step in range(1, STEPS + 1):
        for k, w in enumerate(weights):
            w.grad = vector(k, step, 2.0 ** (step % 4 - 3))
            optimizer.param_groups[k]["lr"] = rate(step) * PARAMETERS[k][2]
        norm = clip_grad_norm_(weights, configuration["clip"] or float("inf"))
        optimizer.step()
        averages = [average(a, w.detach(), step) for a, w in zip(averages, weights)]
        show(index, step, "norm", 0, 0, norm.item())
        if step not in (1, STEPS):
            continue
        for k, w in enumerate(weights):
            state = optimizer.state[w]
            of = dict(p=w, m=state["exp_avg"], v=state["exp_avg_sq"], average=averages[k])
            for name, values in of.items():
                for i, value in enumerate(values.tolist()):
                    show(index, step, name, k, i, value)


for i, c in enumerate(CONFIGURATIONS):
    run(i, c)
