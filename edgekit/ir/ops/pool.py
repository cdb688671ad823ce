"""Pooling over one or two spatial dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from edgekit.ir.ops.base import Op


@dataclass(frozen=True)
class _MaxPool(Op):
    """Maximum over windows; padding is minus infinity."""

    inputs = ("x",)
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False


@dataclass(frozen=True)
class MaxPool1d(_MaxPool):
    """Maximum over windows of x (N, C, L)."""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.max_pool1d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)


@dataclass(frozen=True)
class MaxPool2d(_MaxPool):
    """Maximum over windows of x (N, C, H, W)."""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)


@dataclass(frozen=True)
class _AvgPool(Op):
    """Mean over windows of x with zero padding. ``count_include_pad`` counts the zeros; ``divisor`` replaces the count."""

    inputs = ("x",)
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None


@dataclass(frozen=True)
class AvgPool1d(_AvgPool):
    """Mean over windows of x (N, C, L); no divisor, as in torch."""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.avg_pool1d(x, self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


@dataclass(frozen=True)
class AvgPool2d(_AvgPool):
    """Mean over windows of x (N, C, H, W)."""

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.avg_pool2d(x, self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor)


@dataclass(frozen=True)
class AdaptiveAvgPool2d(Op):
    """Mean over windows that divide x (N, C, H, W) into ``size`` parts; the op is for windows that are not all alike."""

    inputs = ("x",)
    size: tuple[int, int] = (1, 1)

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, self.size)


@dataclass(frozen=True)
class AdaptiveMaxPool2d(Op):
    """Maximum over windows that divide x (N, C, H, W) into ``size`` parts; the op is for windows that are not all alike."""

    inputs = ("x",)
    size: tuple[int, int] = (1, 1)

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.adaptive_max_pool2d(x, self.size)
