"""Attention and transformer layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.operators.row import function, layer, truth

HEADS = (2, 5, 8)


class Attended(nn.Module):
    """nn.MultiheadAttention of a sequence with itself."""

    def __init__(self, width: int, *, weights: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.weights, self.causal = weights, causal

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        length = x.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1) if self.causal else None
        found, weights = self.attention(x, x, x, need_weights=self.weights, attn_mask=mask)
        return (found, weights) if self.weights else found


class Crossed(nn.Module):
    """nn.MultiheadAttention of one sequence to another one of another width."""

    def __init__(self, width: int, other: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, kdim=other, vdim=other, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.attention(x, y, y, need_weights=False)[0]


class Padded(nn.Module):
    """nn.MultiheadAttention that ignores the last positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor, ignored: Tensor) -> Tensor:
        keep = torch.cat([torch.zeros_like(ignored[:, :1]), ignored[:, 1:]], 1)  # somebody is to be looked at
        return self.attention(x, x, x, key_padding_mask=keep, need_weights=False)[0]


ROWS = (
    function("F.scaled_dot_product_attention", F.scaled_dot_product_attention, HEADS, HEADS, HEADS),
    function(
        "F.scaled_dot_product_attention, is_causal",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        HEADS,
        HEADS,
        HEADS,
    ),
    function(
        "F.scaled_dot_product_attention, a float mask",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, torch.linspace(-1, 1, 25).reshape(5, 5)),
        HEADS,
        HEADS,
        HEADS,
    ),
    function(
        "F.scaled_dot_product_attention, a bool mask",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, torch.ones(5, 5, dtype=torch.bool).tril()),
        HEADS,
        HEADS,
        HEADS,
    ),
    function(
        "F.scaled_dot_product_attention, scale",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.2),
        HEADS,
        (2, 7, 8),
        (2, 7, 8),
    ),
    function(
        "F.scaled_dot_product_attention, enable_gqa",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        (4, 5, 8),
        HEADS,
        HEADS,
    ),
    layer("nn.MultiheadAttention", lambda x: Attended(x[-1]), (5, 8)),
    layer("nn.MultiheadAttention, need_weights", lambda x: Attended(x[-1], weights=True), (5, 8)),
    layer("nn.MultiheadAttention, attn_mask", lambda x: Attended(x[-1], causal=True), (5, 8)),
    layer("nn.MultiheadAttention, kdim, vdim", lambda x, y: Crossed(x[-1], y[-1]), (5, 8), (7, 6)),
    layer("nn.MultiheadAttention, key_padding_mask", lambda x, m: Padded(x[-1]), (5, 8), truth(5)),
    layer("nn.TransformerEncoderLayer", lambda x: nn.TransformerEncoderLayer(x[-1], 2, 16, batch_first=True), (5, 8)),
    layer(
        "nn.TransformerEncoderLayer, norm_first, gelu",
        lambda x: nn.TransformerEncoderLayer(x[-1], 2, 16, batch_first=True, norm_first=True, activation="gelu"),
        (5, 8),
    ),
    layer(
        "nn.TransformerDecoderLayer", lambda x, y: nn.TransformerDecoderLayer(x[-1], 2, 16, batch_first=True), (5, 8), (7, 8)
    ),
)
