"""Ops that stand in a graph only while it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from edgekit.ir.learned_step import learned_step
from edgekit.ir.ops.base import Op, same_type
from edgekit.ir.quant import RANGES
from edgekit.ir.types import TensorType


@dataclass(frozen=True)
class FakeQuantize(Op):
    """Rounds x to the integers of a type times a learned scale (LSQ, arXiv:1902.08153): see ``learned_step``.

    ``scale`` has one element, or one per index along ``axis``. ``zero_point`` and ``narrow`` are those of ``QuantParams``,
    which the op becomes when training is over. ``gradient_scale`` is what the scale's gradient is multiplied by: LSQ's
    1 / sqrt(N * Q_P), 0 where the scale is not learned here.
    """

    inputs = ("x", "scale")
    only_in_training: ClassVar[bool] = True
    dtype: str = "int8"
    zero_point: int = 0
    axis: int | None = None
    narrow: bool = False
    gradient_scale: float = 1.0

    @property
    def least(self) -> int:
        """The smallest integer, counted from the zero point."""
        return RANGES[self.dtype][0] + (1 if self.narrow else 0) - self.zero_point

    @property
    def most(self) -> int:
        """The largest integer, counted from the zero point."""
        return RANGES[self.dtype][1] - self.zero_point

    def run(self, x: torch.Tensor, scale: torch.Tensor, **_: Any) -> torch.Tensor:
        return learned_step(x, scale, self.least, self.most, self.gradient_scale, self.axis)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)
