"""Attention maps, gates and statistics."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.combinations.common import OverChannels, cbr, combine, conv, head


def _gate(m: Any, y: Tensor) -> Tensor:
    return y * torch.sigmoid(m.v(F.relu(m.u(y.mean((2, 3)))))).unsqueeze(-1).unsqueeze(-1)


combine(
    "squeeze and excite shared by two blocks",
    lambda m, x: m.h(_gate(m, m.b(_gate(m, m.a(x))))),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "u": nn.Linear(8, 4), "v": nn.Linear(4, 8), "h": head(8)},
)
combine(
    "CBAM behind a concat",
    lambda m, x: m.h((y := torch.cat([m.a(x), m.b(x)], 1)) * torch.sigmoid(m.s(torch.cat([m.mean(y), m.top(y)], 1)))),
    lambda: {
        "a": cbr(3, 6), "b": cbr(3, 6), "s": conv(2, 1, 7), "h": head(12),
        "mean": OverChannels("mean", "h.2.weight/1"), "top": OverChannels("amax", "h.2.weight/1"),
    },
    alone="^s.weight",
)  # fmt: skip
combine(
    "mean over channels as the output",
    lambda m, x: m.mean(m.b(F.relu(m.a(x)))),
    lambda: {"a": conv(3, 8), "b": conv(8, 6), "mean": OverChannels("mean", "b.weight")},
)
combine(
    "sum over channels added back",
    lambda m, x: m.p((y := m.a(x)) + y.sum(1, keepdim=True)),
    lambda: {"a": cbr(3, 8), "p": conv(8, 2)},
)
combine(
    "softmax over channels as a gate",
    lambda m, x: m.p(m.a(x) * m.b(x).softmax(1)),
    lambda: {"a": cbr(3, 8), "b": conv(3, 8), "p": conv(8, 2)},
    alone=r"^(a\.0|b)\.weight",
)
combine(
    "argmax over channels beside a head",
    lambda m, x: (m.b(y := m.a(x)).argmax(1), m.p(y)),
    lambda: {"a": cbr(3, 8), "b": conv(8, 4), "p": conv(8, 2)},
    alone=r"^b\.weight",
)
combine(
    "features divided by their norm",
    lambda m, x: m.f((y := m.a(x).flatten(1)) / y.norm(dim=1, keepdim=True)),
    lambda: {"a": cbr(3, 8), "f": nn.Linear(512, 3)},
)
combine(
    "cosine of two branches' features",
    lambda m, x: F.cosine_similarity(m.a(x).mean((2, 3)), m.b(x).mean((2, 3)), 1),
    lambda: {"a": cbr(3, 8), "b": cbr(3, 8)},
)
combine(
    "cosine to prototypes",
    lambda m, x: F.normalize(m.a(x).mean((2, 3)), dim=1) @ F.normalize(m.w, dim=1).t(),
    lambda: {"a": cbr(3, 8), "w": nn.Parameter(torch.randn(5, 8))},
)
combine(
    "distances to prototypes",
    lambda m, x: -((m.a(x).mean((2, 3)).unsqueeze(1) - m.w) ** 2).sum(2),
    lambda: {"a": cbr(3, 8), "w": nn.Parameter(torch.randn(5, 8))},
)
combine(
    "branches gate one another",
    lambda m, x: m.p((u := m.a(x)) * torch.sigmoid(v := m.b(x)) + v * torch.tanh(u)),
    lambda: {"a": conv(3, 8), "b": conv(3, 8), "p": conv(8, 2)},
)
combine(
    "highway",
    lambda m, x: m.p((t := torch.sigmoid(m.t(y := m.a(x)))) * F.relu(m.b(y)) + (1 - t) * y),
    lambda: {"a": nn.Linear(6, 8), "b": nn.Linear(8, 8), "t": nn.Linear(8, 8), "p": nn.Linear(8, 2)},
    (6,),
)


def _film(m: Any, x: Tensor, z: Tensor) -> Tensor:
    scale, shift = m.f(z).chunk(2, 1)
    return m.h(F.relu(m.a(x) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]))


combine("FiLM", _film, lambda: {"a": cbr(3, 8), "f": nn.Linear(5, 16), "h": head(8)}, (3, 8, 8), (5,))


def _selective(m: Any, x: Tensor) -> Tensor:
    u, v = m.a(x), m.b(x)
    z = F.relu(m.z((u + v).mean((2, 3))))
    w = torch.stack([m.p(z), m.q(z)], 1).softmax(1).unsqueeze(-1).unsqueeze(-1)
    return m.h((torch.stack([u, v], 1) * w).sum(1))


combine(
    "selective kernels",
    _selective,
    lambda: {"a": cbr(3, 8), "b": cbr(3, 8, 5), "z": nn.Linear(8, 4), "p": nn.Linear(4, 8), "q": nn.Linear(4, 8), "h": head(8)},
)


def _coordinate(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    rows, columns = y.mean(3, keepdim=True), y.mean(2, keepdim=True).transpose(2, 3)
    u, v = m.n(torch.cat([rows, columns], 2)).split([8, 8], 2)
    return m.h(y * torch.sigmoid(m.u(u)) * torch.sigmoid(m.v(v.transpose(2, 3))))


combine(
    "coordinate attention",
    _coordinate,
    lambda: {"a": cbr(3, 8), "n": cbr(8, 4, 1), "u": conv(4, 8, 1), "v": conv(4, 8, 1), "h": head(8)},
)
combine(
    "a convolution over the channels (ECA)",
    lambda m, x: m.h((y := m.a(x)) * torch.sigmoid(m.e(y.mean((2, 3)).unsqueeze(1))).view(-1, 8, 1, 1)),
    lambda: {"a": cbr(3, 8), "e": nn.Conv1d(1, 1, 3, padding=1), "h": head(8)},
    alone=r"^(a\.0|e)\.weight",
)
combine(
    "global context",
    lambda m, x: m.h(
        (y := m.a(x)) + m.v(F.relu(m.u((y.flatten(2) @ m.k(y).flatten(2).softmax(2).transpose(1, 2)).unsqueeze(3))))
    ),
    lambda: {"a": cbr(3, 8), "k": conv(8, 1, 1), "u": conv(8, 4, 1), "v": conv(4, 8, 1), "h": head(8)},
    alone=r"^k\.weight",
)


def _non_local(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    q, k, v = m.q(y).flatten(2), m.k(y).flatten(2), m.v(y).flatten(2)
    z = (torch.bmm(q.transpose(1, 2), k).softmax(-1) @ v.transpose(1, 2)).transpose(1, 2)
    return m.h(y + m.o(z.reshape(y.shape[0], 4, 8, 8)))


combine(
    "non-local block",
    _non_local,
    lambda: {"a": cbr(3, 8), "q": conv(8, 4, 1), "k": conv(8, 4, 1), "v": conv(8, 4, 1), "o": conv(4, 8, 1), "h": head(8)},
)
combine(
    "bilinear pooling of two branches",
    lambda m, x: m.f(torch.einsum("bchw,bdhw->bcd", m.a(x), m.b(x)).flatten(1)),
    lambda: {"a": cbr(3, 8), "b": cbr(3, 6), "f": nn.Linear(48, 3)},
    alone=r"^[ab]\.0\.weight",
)
combine(
    "Gram matrix",
    lambda m, x: m.f(((y := m.a(x).flatten(2)) @ y.transpose(1, 2)).flatten(1)),
    lambda: {"a": cbr(3, 6), "f": nn.Linear(36, 3)},
    alone=r"^a\.0\.weight",
)
combine(
    "maxout",
    lambda m, x: m.p(m.b(m.a(x).view(-1, 8, 3).amax(2)).view(-1, 5, 2).amax(2)),
    lambda: {"a": nn.Linear(6, 24), "b": nn.Linear(8, 10), "p": nn.Linear(5, 2)},
    (6,),
)
combine(
    "maximum over groups of channels",
    lambda m, x: m.p(m.a(x).view(-1, 2, 6, 8, 8).amax(1) + m.b(x).view(-1, 6, 2, 8, 8).amax(2)),
    lambda: {"a": cbr(3, 12), "b": cbr(3, 12), "p": conv(6, 2)},
)
combine(
    "experts weighted by a gate",
    lambda m, x: m.p(
        (torch.stack([F.relu(m.a(x)), F.relu(m.b(x)), F.relu(m.c(x))], 1) * m.g(x).softmax(1).unsqueeze(2)).sum(1)
    ),
    lambda: {"a": nn.Linear(6, 8), "b": nn.Linear(6, 8), "c": nn.Linear(6, 8), "g": nn.Linear(6, 3), "p": nn.Linear(8, 2)},
    (6,),
    alone=r"^g\.weight",
)
combine(
    "running sum over time between layers",
    lambda m, x: m.p(F.relu(m.a(x)).cumsum(2).mean(2)),
    lambda: {"a": nn.Conv1d(6, 8, 3), "p": nn.Linear(8, 3)},
    (6, 12),
)
combine(
    "running sum over channels",
    lambda m, x: m.p(m.a(x).cumsum(1)),
    lambda: {"a": cbr(3, 8), "p": conv(8, 2)},
    alone=r"^a\.0\.weight",
)
