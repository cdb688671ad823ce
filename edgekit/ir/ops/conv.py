"""Convolutions. Padding is a (low, high) pair per spatial dimension, so that asymmetric padding is one op."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from edgekit.errors import Unsupported
from edgekit.ir.ops.activation import fused
from edgekit.ir.ops.base import Op
from edgekit.ir.types import Dim, TensorType

if TYPE_CHECKING:
    from edgekit.ir.graph import Node

#: (low, high) per spatial dimension.
Pads = tuple[tuple[int, int], ...]


def flat_pads(pads: Pads) -> list[int]:
    """Pads in the order of ``F.pad``: last dimension first."""
    return [size for pair in reversed(pads) for size in pair]


@dataclass(frozen=True)
class _Conv(Op):
    """Cross-correlation of x (N, C, *spatial) with weight (O, C / groups, *kernel), plus bias (O), then a fused activation."""

    inputs = ("x", "weight", "bias?")
    stride: tuple[int, ...]
    padding: Pads
    dilation: tuple[int, ...]
    groups: int = 1
    activation: str = "none"

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, weight = types[0], types[1]
        assert x is not None and weight is not None
        channels, kernel = weight.shape[0], weight.shape[2:]
        if x.rank != weight.rank or x.shape[1] != int(weight.shape[1]) * self.groups:  # type: ignore[arg-type]
            raise Unsupported(f"'{self.name}' of {x} with a weight {weight} and {self.groups} groups")
        sizes: list[Dim] = []
        rows = zip(x.shape[2:], kernel, self.stride, self.padding, self.dilation, strict=True)
        for size, k, stride, (low, high), dilation in rows:
            if not isinstance(size, int) or not isinstance(k, int):
                raise Unsupported(f"'{self.name}' slides over a dimension that depends on the batch: {x}")
            out = (size + low + high - dilation * (k - 1) - 1) // stride + 1
            if out < 1:
                raise Unsupported(f"'{self.name}' has a kernel larger than its padded input {x}")
            sizes.append(out)
        return (TensorType(x.dtype, (x.shape[0], channels, *sizes)),)

    def macs(self, node: Node) -> int:
        return node.output.type.numel() * prod(node.input(1).tensor_shape[1:])

    def padded(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
        """x with asymmetric padding applied, and the symmetric padding that is left."""
        if all(low == high for low, high in self.padding):
            return x, tuple(low for low, _ in self.padding)
        return F.pad(x, flat_pads(self.padding)), (0,) * len(self.padding)


@dataclass(frozen=True)
class Conv1d(_Conv):
    """Convolution over one spatial dimension: x (N, C, L)."""

    stride: tuple[int, ...] = (1,)
    padding: Pads = ((0, 0),)
    dilation: tuple[int, ...] = (1,)

    def run(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        x, padding = self.padded(x)
        return fused(F.conv1d(x, weight, bias, self.stride, padding, self.dilation, self.groups), self.activation)


@dataclass(frozen=True)
class Conv2d(_Conv):
    """Convolution over two spatial dimensions: x (N, C, H, W)."""

    stride: tuple[int, ...] = (1, 1)
    padding: Pads = ((0, 0), (0, 0))
    dilation: tuple[int, ...] = (1, 1)

    def run(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        x, padding = self.padded(x)
        return fused(F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups), self.activation)


@dataclass(frozen=True)
class _ConvTranspose(Op):
    """Transposed convolution of x (N, C, *spatial) with weight (C, O / groups, *kernel); padding is symmetric, as in torch.

    A negative ``output_padding`` cuts that many elements off the end: what TensorFlow's SAME does to an odd kernel.
    """

    inputs = ("x", "weight", "bias?")
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    activation: str = "none"

    def macs(self, node: Node) -> int:
        return node.input(0).type.numel() * prod(node.input(1).tensor_shape[1:])

    @property
    def extended(self) -> tuple[int, ...]:
        """``output_padding`` as torch takes it."""
        return tuple(max(size, 0) for size in self.output_padding)

    def cut(self, y: torch.Tensor) -> torch.Tensor:
        """The result without what a negative ``output_padding`` cuts off."""
        for axis, size in enumerate(self.output_padding, start=2):
            y = y.narrow(axis, 0, y.shape[axis] + size) if size < 0 else y
        return y


@dataclass(frozen=True)
class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one spatial dimension: x (N, C, L)."""

    stride: tuple[int, ...] = (1,)
    padding: tuple[int, ...] = (0,)
    output_padding: tuple[int, ...] = (0,)
    dilation: tuple[int, ...] = (1,)

    def run(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        y = F.conv_transpose1d(x, weight, bias, self.stride, self.padding, self.extended, self.groups, self.dilation)
        return fused(self.cut(y), self.activation)


@dataclass(frozen=True)
class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two spatial dimensions: x (N, C, H, W)."""

    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    output_padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)

    def run(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        y = F.conv_transpose2d(x, weight, bias, self.stride, self.padding, self.extended, self.groups, self.dilation)
        return fused(self.cut(y), self.activation)
