"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from edgekit.ir.ops.base import Op, infer_by_meta
from edgekit.ir.types import TensorType, dtype_of


@dataclass(frozen=True)
class _Reduce(Op):
    """A reduction of x over ``axes`` (non-negative, ascending); ``keepdim`` leaves them with size 1."""

    inputs = ("x",)
    axes: tuple[int, ...]
    keepdim: bool = False
    function: ClassVar[Callable[..., torch.Tensor]]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return type(self).function(x, dim=self.axes, keepdim=self.keepdim)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x = types[0]
        # torch takes no axes as all of them, and widens integers: rare, so torch itself says what comes out.
        if x is None or not self.axes or not x.is_float or max(self.axes) >= x.rank:
            return infer_by_meta(self, types)
        kept = [1 if i in self.axes else d for i, d in enumerate(x.shape) if self.keepdim or i not in self.axes]
        return (TensorType(x.dtype, tuple(kept)),)


@dataclass(frozen=True)
class Mean(_Reduce):
    """Arithmetic mean."""

    function = staticmethod(torch.mean)


@dataclass(frozen=True)
class Sum(_Reduce):
    """Sum."""

    function = staticmethod(torch.sum)


@dataclass(frozen=True)
class Amax(_Reduce):
    """Largest element."""

    function = staticmethod(torch.amax)


@dataclass(frozen=True)
class Amin(_Reduce):
    """Smallest element."""

    function = staticmethod(torch.amin)


@dataclass(frozen=True)
class Argmax(Op):
    """Index of the first largest element along ``axis``, as int64 or int32."""

    inputs = ("x",)
    axis: int = -1
    keepdim: bool = False
    dtype: str = "int64"

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.argmax(x, self.axis, self.keepdim).to(dtype_of(self.dtype))


@dataclass(frozen=True)
class Cumsum(Op):
    """Running sum along ``axis``."""

    inputs = ("x",)
    axis: int = 0

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.cumsum(x, self.axis)
