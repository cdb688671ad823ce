"""Weights that are expressions, tied, sliced, or shared in unusual ways."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.combinations.common import cbr, combine, conv, head


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.3)


combine(
    "a weight times a scale per output",
    lambda m, x: m.p(F.relu(F.conv2d(x, m.w * m.s))),
    lambda: {"w": _weight(8, 3, 3, 3), "s": _weight(8, 1, 1, 1), "p": conv(8, 2)},
)
combine(
    "a weight in the middle times scales per output and input",
    lambda m, x: m.p(F.relu(F.conv2d(m.a(x), m.w * m.s * m.t, m.b))),
    lambda: {
        "a": cbr(3, 6),
        "w": _weight(8, 6, 3, 3),
        "s": _weight(8, 1, 1, 1),
        "t": _weight(1, 6, 1, 1),
        "b": _weight(8),
        "p": conv(8, 2),
    },
)
combine(
    "weight norm written out",
    lambda m, x: m.p(F.relu(F.conv2d(m.a(x), m.v * (m.g / m.v.flatten(1).norm(dim=1).view(-1, 1, 1, 1))))),
    lambda: {"a": cbr(3, 6), "v": _weight(8, 6, 3, 3), "g": _weight(8, 1, 1, 1), "p": conv(8, 2)},
)
combine(
    "a linear layer of two factors",
    lambda m, x: m.p(F.relu(F.linear(F.relu(m.a(x)), m.u @ m.v))),
    lambda: {"a": nn.Linear(6, 8), "u": _weight(10, 4), "v": _weight(4, 8), "p": nn.Linear(10, 3)},
    (6,),
)
combine(
    "kernels mixed by constant weights",
    lambda m, x: m.p(F.relu(F.conv2d(m.a(x), (m.w * m.alpha.softmax(0).view(3, 1, 1, 1, 1)).sum(0)))),
    lambda: {"a": cbr(3, 6), "w": _weight(3, 8, 6, 3, 3), "alpha": _weight(3), "p": conv(8, 2)},
)
combine(
    "one weight cut into two layers",
    lambda m, x: m.p(F.relu(F.linear(y := F.relu(m.a(x)), m.w[:8])) * F.linear(y, m.w[8:]).sigmoid()),
    lambda: {"a": nn.Linear(6, 10), "w": _weight(16, 10), "p": nn.Linear(8, 3)},
    (6,),
)
combine(
    "a blur of every channel by one kernel",
    lambda m, x: m.p(F.conv2d(m.a(x), m.k.repeat(8, 1, 1, 1), padding=1, groups=8)),
    lambda: {"a": cbr(3, 8), "k": torch.rand(1, 1, 3, 3), "p": conv(8, 2)},
)
combine(
    "one depthwise kernel expanded to all channels",
    lambda m, x: m.p(F.conv2d(m.a(x), m.k.expand(8, 1, 3, 3), padding=1, groups=8)),
    lambda: {"a": cbr(3, 8), "k": _weight(1, 1, 3, 3), "p": conv(8, 2)},
)
combine(
    "a convolution and its transpose tied",
    lambda m, x: m.p(F.conv_transpose2d(F.relu(F.conv2d(m.a(x), m.w, stride=2)), m.w, stride=2)),
    lambda: {"a": cbr(3, 6), "w": _weight(8, 6, 2, 2), "p": conv(6, 2)},
)
combine(
    "module called thrice with a shortcut over all",
    lambda m, x: m.h((y := m.a(x)) + m.b(m.b(m.b(y)))),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8)},
)
combine(
    "module called in a loop with growing states joined",
    lambda m, x: m.h(torch.cat([y := m.a(x), z := m.b(y), m.b(z)], 1)),
    lambda: {"a": cbr(3, 6), "b": cbr(6, 6), "h": head(18)},
)
combine(
    "one linear layer at the ends of two branches",
    lambda m, x, z: m.p(m.f(F.relu(m.a(x))) * m.f(F.relu(m.b(z)))),
    lambda: {"a": nn.Linear(6, 8), "b": nn.Linear(4, 8), "f": nn.Linear(8, 10), "p": nn.Linear(10, 2)},
    (6,),
    (4,),
)


class _Tied(nn.Module):
    """Words in, words out by the same table, a projection between."""

    def __init__(self) -> None:
        super().__init__()
        self.e, self.rnn, self.q = nn.Embedding(20, 8), nn.GRU(8, 12, batch_first=True), nn.Linear(12, 8)
        self.out = nn.Linear(8, 20, bias=False)
        self.out.weight = self.e.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.q(self.rnn(self.e(x))[0]))


combine(
    "embedding tied to the output layer", lambda m, x: m.net(x), lambda: {"net": _Tied()}, (5,), tokens=True, alone="weight$"
)
combine(
    "embeddings summed, joined and averaged",
    lambda m, x: m.p(F.relu(torch.cat([(y := m.e(x) + m.t).mean(1), y.amax(1)], 1))),
    lambda: {"e": nn.Embedding(20, 8), "t": _weight(5, 8), "p": nn.Linear(16, 3)},
    (5,),
    tokens=True,
)


def _heads(m: Any, x: Tensor) -> dict[str, Any]:
    y = m.a(x)
    return {"class": m.h(y), "map": m.p(y), "more": [m.q(z := m.b(y)), {"code": m.r(z.mean((2, 3)))}]}


combine(
    "a dictionary of heads on several layers",
    _heads,
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8), "p": conv(8, 2), "q": conv(8, 3), "r": nn.Linear(8, 4)},
)
combine(
    "features are outputs through a relu too",
    lambda m, x: (F.relu(y := m.a(x)), m.h(m.b(y)), m.b(y).mean((2, 3))),
    lambda: {"a": conv(3, 8), "b": conv(8, 8), "h": head(8)},
)
combine(
    "grouped transposed convolution after a concat",
    lambda m, x: m.p(F.relu(m.t(torch.cat([m.a(x), m.b(x)], 1)))),
    lambda: {"a": cbr(3, 5), "b": cbr(3, 7), "t": nn.ConvTranspose2d(12, 9, 2, 2, groups=3), "p": conv(9, 2)},
)
combine(
    "grouped convolution into a grouped transposed one",
    lambda m, x: m.p(m.t(m.a(x))),
    lambda: {"a": cbr(3, 12, groups=3), "t": nn.ConvTranspose2d(12, 8, 2, 2, groups=2), "p": conv(8, 2)},
)
combine(
    "pixel shuffle, layers, pixel unshuffle, shortcut",
    lambda m, x: m.h((y := m.a(x)) + F.pixel_unshuffle(m.b(F.pixel_shuffle(y, 2)), 2)),
    lambda: {"a": cbr(3, 16), "b": cbr(4, 4), "h": head(16)},
)
combine(
    "space to depth and back by views",
    lambda m, x: m.p(
        m.b(m.a(x).view(-1, 4, 4, 2, 4, 2).permute(0, 3, 5, 1, 2, 4).reshape(-1, 16, 4, 4))
        .view(-1, 2, 2, 3, 4, 4).permute(0, 3, 4, 1, 5, 2).reshape(-1, 3, 8, 8)
    ),
    lambda: {"a": cbr(3, 4), "b": cbr(16, 12), "p": conv(3, 2)},
)  # fmt: skip
combine(
    "slices of every second pixel joined (Focus)",
    lambda m, x: m.h(
        m.b(torch.cat([(y := m.a(x))[..., ::2, ::2], y[..., 1::2, ::2], y[..., ::2, 1::2], y[..., 1::2, 1::2]], 1))
    ),
    lambda: {"a": cbr(3, 6), "b": cbr(24, 8), "h": head(8)},
)
