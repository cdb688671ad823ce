"""Splits, joins, slices and shuffles behind one another."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.combinations.common import cbr, combine, conv, head


def _split_after_concat_after_add(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    parts = torch.cat([y + m.b(y), m.c(x)], 1).split([5, 4, 5], 1)
    return torch.cat([m.p(parts[0]), m.q(parts[1]), m.r(parts[2])], 1)


combine(
    "split after concat after add",
    _split_after_concat_after_add,
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "c": cbr(3, 6), "p": conv(5, 2), "q": conv(4, 2), "r": conv(5, 2)},
)
combine(
    "chunk into unequal parts",
    lambda m, x: [f(y) for f, y in zip((m.p, m.q, m.r), m.a(x).chunk(3, 1), strict=True)],
    lambda: {"a": cbr(3, 10), "p": conv(4, 2), "q": conv(4, 2), "r": conv(2, 2)},
)
combine(
    "slice with an offset and a step of a concat",
    lambda m, x: m.p(torch.cat([m.a(x), m.b(x)], 1)[:, 2::3]),
    lambda: {"a": cbr(3, 7), "b": cbr(3, 8), "p": conv(5, 2)},
)
combine(
    "halves exchanged and added",
    lambda m, x: m.p((y := m.a(x)) + torch.cat([y[:, 4:], y[:, :4]], 1)),
    lambda: {"a": cbr(3, 8), "p": conv(8, 2)},
)
combine(
    "thirds exchanged and added",
    lambda m, x: m.p(m.b(x) + torch.cat([(y := m.a(x))[:, 8:], y[:, :8]], 1)),
    lambda: {"a": cbr(3, 12), "b": cbr(3, 12), "p": conv(12, 2)},
)
combine(
    "stack of three branches summed",
    lambda m, x: m.h(torch.stack([m.a(x), m.b(x), m.c(x)]).sum(0)),
    lambda: {"a": cbr(3, 8), "b": cbr(3, 8, 1), "c": cbr(3, 8, 5), "h": head(8)},
)
combine(
    "channels of two branches interleaved",
    lambda m, x: m.p(torch.stack([m.a(x), m.b(x)], 2).flatten(1, 2)),
    lambda: {"a": cbr(3, 6), "b": cbr(3, 6), "p": conv(12, 2)},
)
combine(
    "interleaved by a view and unbound",
    lambda m, x: m.p((y := m.a(x).view(-1, 6, 2, 8, 8).unbind(2))[0] * torch.sigmoid(y[1])),
    lambda: {"a": cbr(3, 12), "p": conv(6, 2)},
)
combine(
    "split at indices",
    lambda m, x: m.p(torch.cat([y * 2 for y in reversed(torch.tensor_split(m.a(x), (3, 7), 1))], 1)),
    lambda: {"a": cbr(3, 12), "p": conv(12, 2)},
)
combine(
    "positive and negative parts (CReLU)",
    lambda m, x: m.h(m.b(torch.cat([F.relu(y := m.a(x)), F.relu(-y)], 1))),
    lambda: {"a": conv(3, 6), "b": cbr(12, 8), "h": head(8)},
)
combine(
    "narrow and index_select",
    lambda m, x: m.p((y := m.a(x)).narrow(1, 1, 5) + torch.index_select(y, 1, m.i)),
    lambda: {"a": cbr(3, 12), "i": torch.tensor([6, 7, 8, 9, 10]), "p": conv(5, 2)},
)
combine(
    "depthwise with multiplier 3 after a concat",
    lambda m, x: m.p(m.d(torch.cat([m.a(x), m.b(x)], 1))),
    lambda: {"a": cbr(3, 4), "b": cbr(3, 6), "d": cbr(10, 30, groups=10), "p": conv(30, 2)},
)


def _shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


combine(
    "grouped convolution after a shuffle of other groups",
    lambda m, x: m.h(m.g(_shuffle(m.a(x), 2))),
    lambda: {"a": cbr(3, 16), "g": cbr(16, 16, 1, groups=4), "h": head(16)},
)
combine(
    "grouped, shuffled, depthwise, grouped (ShuffleNet V1)",
    lambda m, x: m.h(F.relu((y := m.s(x)) + m.c(m.b(_shuffle(m.a(y), 3))))),
    lambda: {
        "s": cbr(3, 24), "a": cbr(24, 36, 1, groups=3), "b": cbr(36, 36, groups=36), "c": cbr(36, 24, 1, groups=3),
        "h": head(24),
    },
)  # fmt: skip
combine(
    "grouped convolution into a grouped one of other groups",
    lambda m, x: m.h(m.b(m.a(x))),
    lambda: {"a": cbr(3, 12, groups=3), "b": cbr(12, 24, groups=2), "h": head(24)},
)
combine(
    "grouped convolution behind an uneven concat",
    lambda m, x: m.h(m.g(torch.cat([m.a(x), m.b(x)], 1))),
    lambda: {"a": cbr(3, 5), "b": cbr(3, 7), "g": cbr(12, 18, groups=3), "h": head(18)},
)
combine(
    "an uneven concat with a grouped convolution's result",
    lambda m, x: m.h(m.q(torch.cat([y := m.a(x), m.g(y)], 1))),
    lambda: {"a": cbr(3, 8), "g": cbr(8, 16, groups=2), "q": cbr(24, 24, groups=3), "h": head(24)},
)
combine(
    "padding between the halves of a shortcut",
    lambda m, x: m.h(
        m.b(y := m.a(x)) + torch.cat([F.pad(y[:, :4], (0, 0, 0, 0, 0, 2)), F.pad(y[:, 4:], (0, 0, 0, 0, 2, 0))], 1)
    ),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 12), "h": head(12)},
)
combine(
    "zeros in the middle of a concat",
    lambda m, x: m.h(m.b(y := m.a(x)) + torch.cat([y[:, :4], torch.zeros_like(y[:, :4]), y[:, 4:]], 1)),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 12), "h": head(12)},
)
combine(
    "two shortcuts widened in a row",
    lambda m, x: m.h(F.pad(F.pad(m.a(x), (0, 0, 0, 0, 2, 2)) + m.b(x), (0, 0, 0, 0, 0, 4)) + m.c(x)),
    lambda: {"a": cbr(3, 4), "b": cbr(3, 8), "c": cbr(3, 12), "h": head(12)},
)
combine(
    "mixed kernels over a split, grouped, joined, gated",
    lambda m, x: m.h(
        torch.cat([c(p) for c, p in zip((m.c3, m.c5), m.a(x).split([4, 8], 1), strict=True)], 1) * m.g(x).sigmoid()
    ),
    lambda: {"a": cbr(3, 12), "c3": conv(4, 4, groups=4), "c5": conv(8, 8, 5, groups=2), "g": conv(3, 12, 1), "h": head(12)},
)
combine(
    "features of two layers flattened, joined and split again",
    lambda m, x: (lambda u, v: m.p(u) + m.q(v))(
        *torch.cat([(y := m.a(x)).flatten(1), m.b(y).flatten(1)], 1).split([512, 256], 1)
    ),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 4), "p": nn.Linear(512, 3), "q": nn.Linear(256, 3)},
)
combine(
    "a dense block whose parts are added",
    lambda m, x: m.h(torch.cat([y := m.a(x), z := m.b(y)], 1)[:, 2:10] + m.c(z)),
    lambda: {"a": cbr(3, 6), "b": cbr(6, 6), "c": cbr(6, 8), "h": head(8)},
)
combine(
    "channels reversed, then a shortcut",
    lambda m, x: m.h((y := m.a(x)) + m.b(y).flip(1)),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8)},
)
combine(
    "each channel repeated in place",
    lambda m, x: m.h(m.a(x).repeat_interleave(2, 1) + m.b(x)),
    lambda: {"a": cbr(3, 6), "b": cbr(3, 12), "h": head(12)},
)
