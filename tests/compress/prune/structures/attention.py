"""Attention heads."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.structures.common import conv, net


class Attend(nn.Module):
    """Self-attention with one projection for q, k and v, fused or written out."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.heads, self.fused = nn.Linear(width, 3 * width), nn.Linear(width, width), heads, fused

    def forward(self, x: Tensor) -> Tensor:
        b, t, width = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, width))  # type: ignore[no-any-return]


class Separate(nn.Module):
    """Self-attention with three projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


for _fused in (True, False):
    net(
        f"attention block, {'fused' if _fused else 'written out'}",
        lambda m, x: m.f((y := m.i(x)) + m.t(y)),
        lambda fused=_fused: {"i": nn.Linear(6, 16), "t": Attend(16, 4, fused), "f": nn.Linear(16, 3)},
        shape=(7, 6),
    )
net(
    "attention with separate projections",
    lambda m, x: m.f(m.t(m.i(x))),
    lambda: {"i": nn.Linear(6, 16), "t": Separate(16, 4), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
net(
    "attention of one head",
    lambda m, x: m.f(m.t(m.i(x))),
    lambda: {"i": nn.Linear(6, 16), "t": Separate(16, 1), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
net(
    "multi-head attention module",
    lambda m, x: m.f(m.t(y := m.i(x), y, y, need_weights=False)[0]),
    lambda: {"i": nn.Linear(6, 16), "t": nn.MultiheadAttention(16, 4, batch_first=True), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
net(
    "transformer encoder layer",
    lambda m, x: m.f(m.t(m.i(x)).mean(1)),
    lambda: {"i": nn.Linear(6, 16), "t": nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), "f": nn.Linear(16, 3)},
    shape=(7, 6),
    statistics=True,
)


def _vit(m: Any, x: Tensor) -> Tensor:
    y = m.patch(x).flatten(2).transpose(1, 2)
    y = torch.cat([m.cls.expand(x.shape[0], -1, -1), y], 1) + m.pos
    y = y + m.t(m.n(y))
    return m.f((y + m.b(F.gelu(m.a(y))))[:, 0])  # type: ignore[no-any-return]


net(
    "ViT",
    _vit,
    lambda: {
        "patch": nn.Conv2d(3, 16, 4, 4), "cls": nn.Parameter(torch.randn(1, 1, 16)), "pos": nn.Parameter(torch.randn(1, 5, 16)),
        "n": nn.LayerNorm(16), "t": Attend(16, 4, True), "a": nn.Linear(16, 32), "b": nn.Linear(32, 16), "f": nn.Linear(16, 3),
    },
    statistics=True,
)  # fmt: skip


def _windows(m: Any, x: Tensor) -> Tensor:
    y = m.patch(x).permute(0, 2, 3, 1)
    b, h, w, c = y.shape
    z = torch.roll(y, (-1, -1), (1, 2)).view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
    z = m.t(z).view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
    return m.f((y + torch.roll(z, (1, 1), (1, 2))).mean((1, 2)))  # type: ignore[no-any-return]


net(
    "shifted windows (Swin)",
    _windows,
    lambda: {"patch": nn.Conv2d(3, 16, 2, 2), "t": Attend(16, 4, True), "f": nn.Linear(16, 3)},
)


def _over_positions(m: Any, x: Tensor) -> Tensor:
    q, k, v = (layer(x).flatten(2) for layer in (m.q, m.k, m.v))
    weights = torch.softmax(q.transpose(1, 2) @ k / 8**0.5, -1)
    return m.o((v @ weights.transpose(1, 2)).view(-1, 8, 8, 8))  # type: ignore[no-any-return]


net(
    "attention over the positions of a map",
    _over_positions,
    lambda: {"q": conv(3, 8, 1), "k": conv(3, 8, 1), "v": conv(3, 8, 1), "o": conv(8, 2, 1)},
)
net(
    "multi-head attention, sequence first",
    lambda m, x: m.f(m.t(y := m.i(x).transpose(0, 1), y, y)[0].mean(0)),
    lambda: {"i": nn.Linear(6, 16), "t": nn.MultiheadAttention(16, 4), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
