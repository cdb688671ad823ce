"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from edgekit.ir.ops.base import Op


@dataclass(frozen=True)
class _Reduce(Op):
    """A reduction of x over ``axes`` (non-negative, ascending); ``keepdim`` leaves them with size 1."""

    inputs = ("x",)
    axes: tuple[int, ...]
    keepdim: bool = False
    function: ClassVar[Callable[..., torch.Tensor]]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return type(self).function(x, dim=self.axes, keepdim=self.keepdim)


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
    """Index (int64) of the first largest element along ``axis``."""

    inputs = ("x",)
    axis: int = -1
    keepdim: bool = False

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.argmax(x, self.axis, self.keepdim)


@dataclass(frozen=True)
class Cumsum(Op):
    """Running sum along ``axis``."""

    inputs = ("x",)
    axis: int = 0

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.cumsum(x, self.axis)
