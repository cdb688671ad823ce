"""Elementwise arithmetic, comparison and selection, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from edgekit.ir.ops.activation import fused
from edgekit.ir.ops.base import Op, broadcast_types, same_type
from edgekit.ir.types import TensorType, dtype_of


@dataclass(frozen=True)
class _Binary(Op):
    """A function of two broadcast tensors, then a fused activation."""

    inputs = ("a", "b")
    activation: str = "none"
    function: ClassVar[Callable[..., torch.Tensor]]

    def run(self, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor:
        return fused(type(self).function(a, b), self.activation)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return broadcast_types(*types)


@dataclass(frozen=True)
class Add(_Binary):
    """a + b"""

    function = staticmethod(torch.add)


@dataclass(frozen=True)
class Sub(_Binary):
    """a - b"""

    function = staticmethod(torch.sub)


@dataclass(frozen=True)
class Mul(_Binary):
    """a * b"""

    function = staticmethod(torch.mul)


@dataclass(frozen=True)
class Div(_Binary):
    """a / b in float"""

    function = staticmethod(torch.div)


@dataclass(frozen=True)
class Maximum(_Binary):
    """max(a, b)"""

    function = staticmethod(torch.maximum)


@dataclass(frozen=True)
class Minimum(_Binary):
    """min(a, b)"""

    function = staticmethod(torch.minimum)


@dataclass(frozen=True)
class Pow(_Binary):
    """a ** b"""

    function = staticmethod(torch.pow)


@dataclass(frozen=True)
class FloorDiv(_Binary):
    """floor(a / b)"""

    function = staticmethod(lambda a, b: torch.div(a, b, rounding_mode="floor"))  # floor_divide has no gradient


@dataclass(frozen=True)
class Remainder(_Binary):
    """a - floor(a / b) * b, the sign of b"""

    function = staticmethod(torch.remainder)


@dataclass(frozen=True)
class SquaredDifference(_Binary):
    """(a - b)^2"""

    function = staticmethod(lambda a, b: torch.square(a - b))


@dataclass(frozen=True)
class _Compare(Op):
    """A comparison of two broadcast tensors; the result is bool."""

    inputs = ("a", "b")
    function: ClassVar[Callable[..., torch.Tensor]]

    def run(self, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor:
        return type(self).function(a, b)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return broadcast_types(*types, dtype=torch.bool)


@dataclass(frozen=True)
class Equal(_Compare):
    """a == b"""

    function = staticmethod(torch.eq)


@dataclass(frozen=True)
class NotEqual(_Compare):
    """a != b"""

    function = staticmethod(torch.ne)


@dataclass(frozen=True)
class Less(_Compare):
    """a < b"""

    function = staticmethod(torch.lt)


@dataclass(frozen=True)
class LessEqual(_Compare):
    """a <= b"""

    function = staticmethod(torch.le)


@dataclass(frozen=True)
class Greater(_Compare):
    """a > b"""

    function = staticmethod(torch.gt)


@dataclass(frozen=True)
class GreaterEqual(_Compare):
    """a >= b"""

    function = staticmethod(torch.ge)


@dataclass(frozen=True)
class LogicalAnd(_Compare):
    """a and b"""

    function = staticmethod(torch.logical_and)


@dataclass(frozen=True)
class LogicalOr(_Compare):
    """a or b"""

    function = staticmethod(torch.logical_or)


@dataclass(frozen=True)
class LogicalNot(Op):
    """not x"""

    inputs = ("x",)

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.logical_not(x)


@dataclass(frozen=True)
class Where(Op):
    """a where condition, else b, broadcast."""

    inputs = ("condition", "a", "b")

    def run(self, condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.where(condition, a, b)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b = types[1], types[2]
        assert a is not None and b is not None
        return broadcast_types(*types, dtype=torch.promote_types(a.dtype, b.dtype))


@dataclass(frozen=True)
class Cast(Op):
    """To another element type, by its name."""

    inputs = ("x",)
    dtype: str = "float32"

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x.to(dtype_of(self.dtype))

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        assert types[0] is not None
        return (TensorType(dtype_of(self.dtype), types[0].shape),)


@dataclass(frozen=True)
class Identity(Op):
    """The same values under another quantisation: the one op at a border between quantised and float values.

    What it does is read from the ``quant`` of its input and output: quantise, dequantise or requantise. With none on either
    it is a copy and is eliminated.
    """

    inputs = ("x",)

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)


@dataclass(frozen=True)
class _Math(Op):
    """A function of each element."""

    inputs = ("x",)
    function: ClassVar[Callable[..., torch.Tensor]]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return type(self).function(x)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return same_type(self, *types)


def _math(name: str, function: Callable[..., torch.Tensor], meaning: str) -> type[_Math]:
    """An op class for a one-argument torch function."""
    return dataclass(frozen=True)(
        type(name, (_Math,), {"function": staticmethod(function), "__doc__": meaning, "__module__": __name__})
    )


Exp = _math("Exp", torch.exp, "e ** x")
Log = _math("Log", torch.log, "natural logarithm")
Sqrt = _math("Sqrt", torch.sqrt, "square root")
Rsqrt = _math("Rsqrt", torch.rsqrt, "1 / sqrt(x)")
Square = _math("Square", torch.square, "x * x")
Abs = _math("Abs", torch.abs, "|x|")
Neg = _math("Neg", torch.neg, "-x")
Sign = _math("Sign", torch.sign, "-1, 0 or 1")
Floor = _math("Floor", torch.floor, "largest integer not above x")
Ceil = _math("Ceil", torch.ceil, "smallest integer not below x")
Round = _math("Round", torch.round, "nearest integer, halves to even")
Sin = _math("Sin", torch.sin, "sine")
Cos = _math("Cos", torch.cos, "cosine")
Erf = _math("Erf", torch.erf, "error function")
