"""Grouped and depthwise convolutions, shuffles."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.structures.common import cbr, conv, head, net

net(
    "depthwise separable",
    lambda m, x: m.h(m.p(m.d(m.a(x)))),
    lambda: {"a": cbr(3, 8), "d": cbr(8, 8, groups=8), "p": cbr(8, 12, 1), "h": head(12)},
)
net(
    "depthwise with multiplier 2",
    lambda m, x: m.h(m.d(m.a(x))),
    lambda: {"a": cbr(3, 8), "d": cbr(8, 16, groups=8), "h": head(16)},
)
net(
    "depthwise of the input",
    lambda m, x: m.h(m.p(m.d(x))),
    lambda: {"d": cbr(3, 6, groups=3), "p": cbr(6, 8, 1), "h": head(8)},
    alone="d.0.weight",
)
net("grouped convolution", lambda m, x: m.h(m.g(m.a(x))), lambda: {"a": cbr(3, 8), "g": cbr(8, 16, groups=4), "h": head(16)})
net(
    "inverted residual with squeeze and excite",
    lambda m, x: m.h((y := m.a(x)) + m.p((z := m.d(m.e(y))) * m.se(z))),
    lambda: {
        "a": cbr(3, 8), "e": cbr(8, 16, 1), "d": cbr(16, 16, groups=16), "p": conv(16, 8, 1), "h": head(8),
        "se": nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(16, 4, 1), nn.ReLU(), conv(4, 16, 1), nn.Hardsigmoid()),
    },
)  # fmt: skip
net(
    "squeeze and excite by linear layers",
    lambda m, x: m.h((y := m.a(x)) * torch.sigmoid(m.v(F.relu(m.u(y.mean((2, 3)))))).view(-1, 8, 1, 1)),
    lambda: {"a": cbr(3, 8), "u": nn.Linear(8, 4), "v": nn.Linear(4, 8), "h": head(8)},
)


def _shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


net("channel shuffle", lambda m, x: m.h(m.b(_shuffle(m.a(x), 2))), lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8)})
net(
    "grouped convolutions with a shuffle",
    lambda m, x: m.h(m.c(_shuffle(m.b(m.a(x)), 4))),
    lambda: {"a": cbr(3, 16), "b": cbr(16, 16, 1, groups=4), "c": cbr(16, 16, 1, groups=4), "h": head(16)},
    alone="a.0.weight|b.0.weight",
)


def _shuffle_unit(m: Any, x: Tensor) -> Tensor:
    a, b = m.stem(x).chunk(2, 1)
    y = _shuffle(torch.cat([a, m.p(m.d(m.e(b)))], 1), 2)
    a, b = y.chunk(2, 1)
    return m.h(_shuffle(torch.cat([a, m.q(b)], 1), 2))  # type: ignore[no-any-return]


net(
    "ShuffleNet units",
    _shuffle_unit,
    lambda: {"stem": cbr(3, 16), "e": cbr(8, 8, 1), "d": cbr(8, 8, groups=8), "p": cbr(8, 8, 1), "q": cbr(8, 8), "h": head(16)},
)
net("pixel shuffle", lambda m, x: m.b(F.pixel_shuffle(m.a(x), 2)), lambda: {"a": cbr(3, 16), "b": conv(4, 2)})
net("pixel unshuffle", lambda m, x: m.b(F.pixel_unshuffle(m.a(x), 2)), lambda: {"a": cbr(3, 4), "b": conv(16, 2)})
net(
    "mean over groups of channels",
    lambda m, x: m.b(m.a(x).view(-1, 2, 6, 8, 8).sum(1)),
    lambda: {"a": cbr(3, 12), "b": conv(6, 2)},
)
net(
    "ghost module",
    lambda m, x: m.h(torch.cat([y := m.a(x), m.d(y)], 1)),
    lambda: {"a": cbr(3, 8), "d": cbr(8, 8, groups=8), "h": head(16)},
)
