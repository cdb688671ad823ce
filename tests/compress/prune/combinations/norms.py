"""Norms and slopes where channels were joined, flattened or turned."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.compress.prune.combinations.common import OverChannels, cbr, combine, conv, head

combine(
    "group norm after a concat",
    lambda m, x: m.p(F.relu(m.n(torch.cat([m.a(x), m.b(x)], 1)))),
    lambda: {"a": conv(3, 6), "b": conv(3, 10), "n": nn.GroupNorm(4, 16), "p": conv(16, 2)},
)
combine(
    "group norms of different groups in a row",
    lambda m, x: m.p(m.k(m.n(m.a(x)))),
    lambda: {"a": conv(3, 12), "n": nn.GroupNorm(3, 12), "k": nn.GroupNorm(2, 12), "p": conv(12, 2)},
)
combine(
    "group norm behind a shuffle and a shortcut",
    lambda m, x: m.p(m.n((y := m.a(x)) + m.b(y).view(-1, 2, 6, 8, 8).transpose(1, 2).reshape(-1, 12, 8, 8))),
    lambda: {"a": cbr(3, 12), "b": cbr(12, 12), "n": nn.GroupNorm(3, 12), "p": conv(12, 2)},
)
combine(
    "layer norm over the channels of a map, with a shortcut",
    lambda m, x: m.h((y := m.a(x)) + m.b(m.n(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))),
    lambda: {"a": conv(3, 8), "n": nn.LayerNorm(8), "b": conv(8, 8), "h": head(8)},
)
combine(
    "layer norm over joined features",
    lambda m, x, z: m.p(m.n(torch.cat([F.relu(m.a(x)), F.relu(m.b(z))], 1))),
    lambda: {"a": nn.Linear(6, 8), "b": nn.Linear(4, 6), "n": nn.LayerNorm(14), "p": nn.Linear(14, 3)},
    (6,),
    (4,),
)
combine(
    "RMS norm written out",
    lambda m, x: m.p((y := F.relu(m.a(x))) * torch.rsqrt(m.mean(y) + 1e-5) * m.g),
    lambda: {
        "a": nn.Linear(6, 8), "g": nn.Parameter(torch.rand(8) + 0.5), "p": nn.Linear(8, 3),
        "mean": OverChannels("square mean", "a.weight"),
    },
    (6,),
)  # fmt: skip
combine(
    "RMS norm as a module",
    lambda m, x: m.p(m.n(F.relu(m.a(x)))),
    lambda: {"a": nn.Linear(6, 8), "n": nn.RMSNorm(8, 1e-5), "p": nn.Linear(8, 3)},
    (5, 6),
)
combine(
    "slopes per channel after a concat",
    lambda m, x: m.p(m.s(torch.cat([m.a(x), m.b(x)], 1))),
    lambda: {"a": conv(3, 6), "b": conv(3, 4), "s": nn.PReLU(10), "p": conv(10, 2)},
)
combine(
    "slopes per channel used twice",
    lambda m, x: m.p(m.s(m.b(m.s(m.a(x))))),
    lambda: {"a": conv(3, 8), "b": conv(8, 8), "s": nn.PReLU(8), "p": conv(8, 2)},
)
combine(
    "batch norm of flattened features",
    lambda m, x: m.p(F.relu(m.n(m.a(x).flatten(1)))),
    lambda: {"a": conv(3, 4), "n": nn.BatchNorm1d(256), "p": nn.Linear(256, 3)},
)
combine(
    "batch norm without weights, instance norm without weights",
    lambda m, x: m.p(m.k(m.b(m.n(m.a(x))))),
    lambda: {
        "a": conv(3, 8),
        "n": nn.BatchNorm2d(8, affine=False),
        "b": conv(8, 6),
        "k": nn.InstanceNorm2d(6),
        "p": conv(6, 2),
    },
)
combine(
    "one batch norm for two branches",
    lambda m, x: m.p(torch.cat([m.n(m.a(x)), m.n(m.b(x))], 1)),
    lambda: {"a": conv(3, 8), "b": conv(3, 8), "n": nn.BatchNorm2d(8), "p": conv(16, 2)},
)
combine(
    "scales, offsets and masks that broadcast",
    lambda m, x: m.p(torch.addcmul(m.shift, m.a(x) * m.mask, m.scale) * m.all),
    lambda: {
        "a": cbr(3, 8), "scale": nn.Parameter(torch.rand(1, 8, 1, 1) + 0.5), "shift": nn.Parameter(torch.randn(8, 1, 1)),
        "mask": (torch.arange(8) % 3 > 0).float().view(1, 8, 1, 1), "all": nn.Parameter(torch.tensor(0.7)),
        "p": conv(8, 2),
    },
)  # fmt: skip
combine(
    "a residual with a single learned weight (ReZero)",
    lambda m, x: m.h((y := m.a(x)) + m.z * m.b(y)),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "z": nn.Parameter(torch.tensor(0.3)), "h": head(8)},
)
combine(
    "a norm over channels and positions of half the channels",
    lambda m, x: m.p(torch.cat([m.n((y := m.a(x))[:, :6]), y[:, 6:]], 1)),
    lambda: {"a": cbr(3, 12), "n": nn.GroupNorm(1, 6), "p": conv(12, 2)},
)
