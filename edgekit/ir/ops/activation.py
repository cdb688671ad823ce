"""Activations. Each is one op; those that runtimes fuse into a convolution are also names for an ``activation`` attribute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from edgekit.ir.ops.base import Op, same_type
from edgekit.ir.types import TensorType

#: What an ``activation`` attribute may name.
FUSED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "relu_n1_to_1": lambda x: torch.clamp(x, -1.0, 1.0),
}

#: Real range that a fused activation leaves.
FUSED_RANGE: dict[str, tuple[float, float]] = {
    "none": (float("-inf"), float("inf")),
    "relu": (0.0, float("inf")),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def fused(x: torch.Tensor, activation: str) -> torch.Tensor:
    """Applies a fused activation; KeyError for an unknown name."""
    return FUSED[activation](x)


@dataclass(frozen=True)
class _Unary(Op):
    """An elementwise function of one float tensor of any shape."""

    inputs = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)


@dataclass(frozen=True)
class Relu(_Unary):
    """max(x, 0)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.relu(x)


@dataclass(frozen=True)
class Relu6(_Unary):
    """min(max(x, 0), 6)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.relu6(x)


@dataclass(frozen=True)
class Clamp(_Unary):
    """min(max(x, low), high); a missing bound is None."""

    low: float | None = None
    high: float | None = None

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.clamp(x, self.low, self.high)


@dataclass(frozen=True)
class LeakyRelu(_Unary):
    """x where x > 0, else slope * x"""

    slope: float = 0.01

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.leaky_relu(x, self.slope)


@dataclass(frozen=True)
class Prelu(Op):
    """x where x > 0, else weight * x; weight has one entry per channel (axis 1) or one in all (He et al. 2015,
    arXiv:1502.01852).
    """

    inputs = ("x", "weight")

    def run(self, x: torch.Tensor, weight: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.prelu(x, weight)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)


@dataclass(frozen=True)
class Elu(_Unary):
    """x where x > 0, else alpha * (exp(x * input_scale) - 1), all times scale (covers ELU, SELU and CELU)."""

    alpha: float = 1.0
    scale: float = 1.0
    input_scale: float = 1.0

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        if self.scale == 1.0 and self.input_scale == 1.0:
            return F.elu(x, self.alpha)
        return self.scale * torch.where(x > 0, x, self.alpha * torch.expm1(x * self.input_scale))


@dataclass(frozen=True)
class Gelu(_Unary):
    """x * Phi(x) (Hendrycks & Gimpel 2016, arXiv:1606.08415), or its tanh form."""

    approximate: str = "none"

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.gelu(x, approximate=self.approximate)


@dataclass(frozen=True)
class Silu(_Unary):
    """x * sigmoid(x)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.silu(x)


@dataclass(frozen=True)
class Mish(_Unary):
    """x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.mish(x)


@dataclass(frozen=True)
class Hardswish(_Unary):
    """x * relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.hardswish(x)


@dataclass(frozen=True)
class Hardsigmoid(_Unary):
    """relu6(x + 3) / 6"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.hardsigmoid(x)


@dataclass(frozen=True)
class Sigmoid(_Unary):
    """1 / (1 + exp(-x))"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.sigmoid(x)


@dataclass(frozen=True)
class Tanh(_Unary):
    """tanh(x)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.tanh(x)


@dataclass(frozen=True)
class Softplus(_Unary):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold"""

    beta: float = 1.0
    threshold: float = 20.0

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.softplus(x, self.beta, self.threshold)


@dataclass(frozen=True)
class Softsign(_Unary):
    """x / (1 + |x|)"""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.softsign(x)


@dataclass(frozen=True)
class Hardshrink(_Unary):
    """x where |x| > bound, else 0"""

    bound: float = 0.5

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.hardshrink(x, self.bound)


@dataclass(frozen=True)
class Softshrink(_Unary):
    """x - bound where x > bound, x + bound where x < -bound, else 0"""

    bound: float = 0.5

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.softshrink(x, self.bound)


@dataclass(frozen=True)
class Threshold(_Unary):
    """x where x > threshold, else value"""

    threshold: float = 0.0
    value: float = 0.0

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.threshold(x, self.threshold, self.value)


@dataclass(frozen=True)
class Softmax(_Unary):
    """exp(x) / sum exp(x) along ``axis`` (negative: from the end)"""

    axis: int = -1

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.softmax(x, self.axis)


@dataclass(frozen=True)
class LogSoftmax(_Unary):
    """log of softmax along ``axis``"""

    axis: int = -1

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.log_softmax(x, self.axis)


@dataclass(frozen=True)
class Dropout(_Unary):
    """In training, zeroes entries with probability p and scales the others by 1 / (1 - p); whole channels with
    ``channelwise``.
    """

    p: float = 0.5
    channelwise: bool = False
    acts_in_training = True

    def run(self, x: torch.Tensor, training: bool = False, **_: Any) -> torch.Tensor:
        if not training:
            return x
        return torch.feature_dropout(x, self.p, True) if self.channelwise else F.dropout(x, self.p, True)
