"""Attention maps over channels, and norms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.compress.prune.structures.common import cbr, conv, head, net, structure

net(
    "one-channel spatial attention",
    lambda m, x: m.h((y := m.a(x)) * torch.sigmoid(m.s(y))),
    lambda: {"a": cbr(3, 8), "s": conv(8, 1), "h": head(8)},
    alone="s.weight",
)
net(
    "CBAM",
    lambda m, x: m.h(
        (y := (z := m.a(x)) * torch.sigmoid(m.v(F.relu(m.u(z.mean((2, 3), True)))) + m.v(F.relu(m.u(z.amax((2, 3), True))))))
        * torch.sigmoid(m.s(torch.cat([y.mean(1, True), y.amax(1, True)], 1)))
    ),
    lambda: {"a": cbr(3, 8), "u": conv(8, 4, 1), "v": conv(4, 8, 1), "s": conv(2, 1, 7), "h": head(8)},
    statistics=True,
    alone="s.weight",
)
structure("layer norm over channels last", shape=(6, 12), statistics=True)(
    lambda: nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))
)
structure("layer norm over a feature map", statistics=True)(
    lambda: nn.Sequential(conv(3, 8), nn.LayerNorm((8, 8, 8)), nn.ReLU(), conv(8, 2))
)
structure("group norm", statistics=True)(lambda: nn.Sequential(conv(3, 16), nn.GroupNorm(4, 16), nn.ReLU(), conv(16, 2)))
structure("group norm with one group", statistics=True)(
    lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(1, 8), nn.ReLU(), conv(8, 2))
)
structure("group norm with groups of one", statistics=True)(
    lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(8, 8), nn.ReLU(), conv(8, 2))
)
structure("instance norm")(lambda: nn.Sequential(conv(3, 8), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), conv(8, 2)))
net(
    "channels-last layer norm (ConvNeXt)",
    lambda m, x: m.h((y := m.a(x)) + m.q(F.gelu(m.p(m.n(m.d(y).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2) * m.g),
    lambda: {
        "a": conv(3, 8), "d": conv(8, 8, groups=8), "n": nn.LayerNorm(8), "p": nn.Linear(8, 16), "q": nn.Linear(16, 8),
        "g": nn.Parameter(torch.rand(8, 1, 1)), "h": head(8),
    },
    statistics=True,
)  # fmt: skip
net("softmax over channels", lambda m, x: m.b(m.a(x).softmax(1)), lambda: {"a": conv(3, 8), "b": conv(8, 2)}, alone="a.weight")
net("normalised features", lambda m, x: m.b(F.normalize(m.a(x), dim=1)), lambda: {"a": conv(3, 8), "b": conv(8, 2)})
