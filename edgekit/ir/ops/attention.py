"""Attention as one op; exporters and passes decompose it where the runtime has no fused form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from edgekit.ir.ops.base import Op

if TYPE_CHECKING:
    from edgekit.ir.graph import Node


@dataclass(frozen=True)
class Attention(Op):
    """softmax(scale * q k^T + mask) v over the last two dimensions (Vaswani et al. 2017, arXiv:1706.03762).

    q (..., T, D), k (..., S, D), v (..., S, E); mask is added (float) or selects (bool, True = attend); ``scale`` None is 1
    / sqrt(D); ``causal`` masks j > i. ``dropout`` acts in training only.
    """

    inputs = ("q", "k", "v", "mask?")
    scale: float | None = None
    causal: bool = False
    dropout: float = 0.0
    acts_in_training = True

    def run(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None = None,
        training: bool = False,
        **_: Any,
    ) -> torch.Tensor:
        dropout = self.dropout if training else 0.0
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, self.causal, scale=self.scale)

    def macs(self, node: Node) -> int:
        scores = node.output.type.numel() // node.output.tensor_shape[-1] * node.input(1).tensor_shape[-2]
        return scores * (node.input(0).tensor_shape[-1] + node.input(2).tensor_shape[-1])
