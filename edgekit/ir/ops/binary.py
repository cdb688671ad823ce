"""Ops of binary networks: the signs of activations, and weights that are +1 or -1 while they are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from edgekit.ir.ops.base import Op, same_type
from edgekit.ir.straight_through import binary_activation, binary_weight
from edgekit.ir.types import TensorType


@dataclass(frozen=True)
class BinarySign(Op):
    """+1 where x >= 0, else -1; ``gradient`` is "clip" or "polynomial": see ``binary_activation``."""

    inputs = ("x",)
    gradient: str = "clip"

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return binary_activation(x, self.gradient)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)


@dataclass(frozen=True)
class BinaryWeight(Op):
    """The signs of a latent weight, times mean|w| of each output channel with ``scaled`` (see ``binary_weight``).

    ``stochastic`` draws them in training; otherwise, and in evaluation, they are sign(w). When training is over the op becomes
    the constant that it gives.
    """

    inputs = ("latent",)
    acts_in_training: ClassVar[bool] = True
    only_in_training: ClassVar[bool] = True
    scaled: bool = False
    stochastic: bool = False

    def run(self, latent: torch.Tensor, training: bool = False, **_: Any) -> torch.Tensor:
        return binary_weight(latent, self.scaled, self.stochastic and training)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)
