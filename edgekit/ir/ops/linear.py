"""Matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from edgekit.errors import Unsupported
from edgekit.ir.ops.activation import fused
from edgekit.ir.ops.base import Op
from edgekit.ir.types import TensorType

if TYPE_CHECKING:
    from edgekit.ir.graph import Node


@dataclass(frozen=True)
class Linear(Op):
    """x (..., I) times weight (O, I) transposed, plus bias (O), then a fused activation."""

    inputs = ("x", "weight", "bias?")
    activation: str = "none"

    def run(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        return fused(F.linear(x, weight, bias), self.activation)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, weight = types[0], types[1]
        assert x is not None and weight is not None
        if weight.rank != 2 or x.shape[-1] != weight.shape[1]:
            raise Unsupported(f"'linear' of {x} with a weight {weight}")
        return (TensorType(x.dtype, (*x.shape[:-1], weight.shape[0])),)

    def macs(self, node: Node) -> int:
        return node.output.type.numel() * node.input(0).tensor_shape[-1]


@dataclass(frozen=True)
class Matmul(Op):
    """``torch.matmul(a, b)``; with ``transpose_b`` the last two dimensions of b are exchanged first."""

    inputs = ("a", "b")
    transpose_b: bool = False

    def run(self, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.matmul(a, b.transpose(-1, -2) if self.transpose_b else b)

    def macs(self, node: Node) -> int:
        return node.output.type.numel() * node.input(0).tensor_shape[-1]
