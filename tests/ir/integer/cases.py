"""Random quantisation parameters and integers, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edgekit.ir.quant import RANGES, QuantParams
from tests.ir.integer.one_op import Tensor

Array = np.ndarray[Any, Any]


class Cases:
    """A source of random parameters and data."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def scale(self, low: float = 1e-3, high: float = 0.5) -> float:
        """Log-uniform; one in four is a power of two, where ties are frequent."""
        exponent = self.rng.uniform(np.log2(low), np.log2(high))
        return float(2.0 ** round(exponent) if self.rng.random() < 0.25 else 2.0**exponent)

    def quant(self, dtype: str = "int8", low: float = 1e-3, high: float = 0.5) -> QuantParams:
        """Any scale and zero point."""
        return QuantParams(dtype, (self.scale(low, high),), (self.integer(*RANGES[dtype]),))

    def ints(self, shape: Sequence[int], quant: QuantParams, fill: float = 1.0) -> Array:
        """Integers over the whole range, or over the part ``fill`` around the zero point."""
        low, high = RANGES[quant.dtype]
        zero = quant.zero_point[0]
        low, high = zero + int((low - zero) * fill), zero + int((high - zero) * fill)
        return self.rng.integers(low, high + 1, shape).astype(quant.dtype)


def tensor(data: Array, quant: QuantParams | None = None, *, constant: bool = False, axis: int = 0) -> Tensor:
    """A tensor of the file with these parameters. ``axis`` is the one in the file's layout."""
    if quant is None:
        return Tensor(data, constant=constant)
    return Tensor(data, list(quant.scale), list(quant.zero_point), axis, constant)


def empty(shape: Sequence[int], quant: QuantParams) -> Tensor:
    """An output."""
    return tensor(np.zeros(shape, quant.dtype), quant)


def vector(values: Sequence[int]) -> Tensor:
    """A constant int32 vector: a shape, axes, a size."""
    return Tensor(np.asarray(values, np.int32), constant=True)


def nhwc(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def nchw(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def t(x: Array) -> torch.Tensor:
    return torch.from_numpy(x)


def assert_same(ours: torch.Tensor, theirs: Array) -> None:
    """Every integer equal."""
    assert ours.numpy().dtype == theirs.dtype
    np.testing.assert_array_equal(ours.numpy(), theirs)
