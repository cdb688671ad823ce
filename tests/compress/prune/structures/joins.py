"""Residual adds, concats, splits and slices."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.structures.common import cbr, conv, head, net

net("residual", lambda m, x: m.h(F.relu((y := m.a(x)) + m.b(y))), lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8)})
net(
    "residual with a projection",
    lambda m, x: m.h(F.relu(m.b(y := m.a(x)) + m.p(y))),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 12), "p": conv(8, 12, 1), "h": head(12)},
)
net(
    "option A shortcut",
    lambda m, x: m.h(F.relu(m.b(y := m.a(x)) + F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))),
    lambda: {"a": cbr(3, 8), "b": nn.Sequential(conv(8, 16, stride=2), nn.BatchNorm2d(16)), "h": head(16)},
)
net(
    "option A shortcut of the input",
    lambda m, x: m.h(F.relu(m.b(x) + F.pad(x, (0, 0, 0, 0, 2, 3)))),
    lambda: {"b": nn.Sequential(conv(3, 8), nn.BatchNorm2d(8)), "h": head(8)},
    alone="b.0.weight",
)
net("concat", lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)), lambda: {"a": cbr(3, 8), "b": cbr(3, 6), "c": conv(14, 2)})
net("concat of one tensor twice", lambda m, x: m.c(torch.cat([y := m.a(x), y], 1)), lambda: {"a": cbr(3, 8), "c": conv(16, 2)})
net(
    "dense block",
    lambda m, x: m.h(torch.cat([y := m.a(x), z := m.b(y), m.c(torch.cat([y, z], 1))], 1)),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 4), "c": cbr(12, 4), "h": head(16)},
)
net(
    "concat into an add",
    lambda m, x: m.h(torch.cat([m.a(x), m.b(x)], 1) + m.c(x)),
    lambda: {"a": cbr(3, 4), "b": cbr(3, 4), "c": cbr(3, 8), "h": head(8)},
)
net("concat with the input", lambda m, x: m.c(torch.cat([x, m.a(x)], 1)), lambda: {"a": cbr(3, 8), "c": conv(11, 2)})


def _chunk(m: Any, x: Tensor) -> Tensor:
    a, b = m.a(x).chunk(2, 1)
    return m.c(b) + m.d(a)  # type: ignore[no-any-return]


net("chunk to two convolutions", _chunk, lambda: {"a": cbr(3, 16), "c": conv(8, 4), "d": conv(8, 4)})


def _split(m: Any, x: Tensor) -> Tensor:
    a, b, c = m.a(x).split([2, 6, 8], 1)
    return m.h(torch.cat([m.b(b), a, m.c(c)], 1))  # type: ignore[no-any-return]


net("uneven split", _split, lambda: {"a": cbr(3, 16), "b": cbr(6, 6), "c": cbr(8, 4), "h": head(12)})


def _c2f(m: Any, x: Tensor) -> Tensor:
    parts = list(m.a(x).chunk(2, 1))
    for block in (m.m1, m.m2):
        parts.append(parts[-1] + block(parts[-1]))
    return m.h(m.out(torch.cat(parts, 1)))  # type: ignore[no-any-return]


net("C2f block", _c2f, lambda: {"a": cbr(3, 16, 1), "m1": cbr(8, 8), "m2": cbr(8, 8), "out": cbr(32, 8, 1), "h": head(8)})
net("slice", lambda m, x: m.b(m.a(x)[:, 2:7]), lambda: {"a": cbr(3, 10), "b": conv(5, 2)})
net("slice with a step", lambda m, x: m.b(m.a(x)[:, ::2]), lambda: {"a": cbr(3, 12), "b": conv(6, 2)})
net(
    "two slices that overlap",
    lambda m, x: m.b((y := m.a(x))[:, :6]) + m.c(y[:, 4:]),
    lambda: {"a": cbr(3, 10), "b": conv(6, 2), "c": conv(6, 2)},
)
net(
    "channels picked by index",
    lambda m, x: m.b(m.a(x)[:, [5, 0, 3, 3]]),
    lambda: {"a": cbr(3, 8), "b": conv(4, 2)},
    alone="a.0.weight",
)
net("flip of channels", lambda m, x: m.b(m.a(x).flip(1)), lambda: {"a": cbr(3, 8), "b": conv(8, 2)})
net("channels tiled", lambda m, x: m.b(m.a(x).repeat(1, 3, 1, 1)), lambda: {"a": cbr(3, 4), "b": conv(12, 2)})
net("roll of channels", lambda m, x: m.b(m.a(x).roll(1, 1)), lambda: {"a": cbr(3, 8), "b": conv(8, 2)}, alone="a.0.weight")
net("GLU", lambda m, x: m.b(F.glu(m.a(x), 1)), lambda: {"a": conv(3, 16), "b": conv(8, 2)})
net(
    "mixed kernels over a split",
    lambda m, x: m.h(torch.cat([c(p) for c, p in zip((m.c3, m.c5), m.a(x).chunk(2, 1), strict=True)], 1)),
    lambda: {"a": cbr(3, 8), "c3": conv(4, 4, groups=4), "c5": conv(4, 4, 5, groups=4), "h": head(8)},
)
net("two heads", lambda m, x: (m.p(y := m.a(x)), m.q(y)), lambda: {"a": cbr(3, 8), "p": conv(8, 2), "q": head(8)})
net(
    "a feature map is an output too",
    lambda m, x: (y := m.a(x), m.q(m.b(y))),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "q": head(8)},
)
