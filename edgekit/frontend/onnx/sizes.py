"""Sizes of tensors as data: ``Shape -> Gather -> Concat -> Reshape`` is resolved while loading, the batch size as a symbol.

A computation on sizes is done with numpy on object arrays, whose elements are numbers or multiples of N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgekit.ir.types import Batch

#: An array of numbers and multiples of the batch size.
Array = np.ndarray[Any, Any]


class BatchInNumber(Exception):
    """The batch size enters a computation that is no size any more."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """Data that holds the batch size: elements are numbers or ``Batch``; ``dtype`` is what ONNX takes them for."""

    array: Array
    dtype: torch.dtype = torch.int64


def objects(data: Any, shape: tuple[int, ...] | None = None) -> Array:
    """An object array of these elements, which numpy leaves as they are."""
    flat = list(data)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array if shape is None else array.reshape(shape)


def holds_batch(array: Array) -> bool:
    """An element depends on the batch size."""
    return any(isinstance(item, Batch) for item in array.reshape(-1))


def add(a: Any, b: Any) -> Any:
    """a + b, where the result is a number or a multiple of N."""
    if not isinstance(a, Batch) and not isinstance(b, Batch):
        return a + b
    if isinstance(a, Batch) and isinstance(b, Batch):
        return Batch(a.multiple + b.multiple)
    if a == 0 or b == 0:
        return b if a == 0 else a
    raise BatchInNumber


def subtract(a: Any, b: Any) -> Any:
    """a - b likewise."""
    if not isinstance(a, Batch) and not isinstance(b, Batch):
        return a - b
    if isinstance(a, Batch) and isinstance(b, Batch) and a.multiple >= b.multiple:
        return Batch(a.multiple - b.multiple) if a != b else 0
    if isinstance(a, Batch) and not isinstance(b, Batch) and b == 0:
        return a
    raise BatchInNumber


def multiply(a: Any, b: Any) -> Any:
    """a * b likewise."""
    if isinstance(b, Batch):
        a, b = b, a
    if not isinstance(a, Batch):
        return a * b
    if isinstance(b, Batch) or b < 0 or int(b) != b:
        raise BatchInNumber
    return Batch(a.multiple * int(b)) if b else 0


def divide(a: Any, b: Any) -> Any:
    """a / b; integers are divided as ONNX does, towards zero."""
    if isinstance(a, Batch):
        by = b.multiple if isinstance(b, Batch) else b
        if by > 0 and a.multiple % by == 0:
            quotient = a.multiple // int(by)
            return quotient if isinstance(b, Batch) else Batch(quotient)
        raise BatchInNumber
    if isinstance(b, Batch) or b == 0:
        raise BatchInNumber
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a / b


def equal(a: Any, b: Any) -> Any:
    """a == b; N is positive."""
    return _ordered(a, b, lambda x, y: x == y)


def less(a: Any, b: Any) -> Any:
    """a < b; N is positive."""
    return _ordered(a, b, lambda x, y: x < y)


def greater(a: Any, b: Any) -> Any:
    """a > b; N is positive."""
    return _ordered(a, b, lambda x, y: x > y)


def _ordered(a: Any, b: Any, holds: Callable[[Any, Any], bool]) -> bool:
    if isinstance(a, Batch) and isinstance(b, Batch):
        return holds(a.multiple, b.multiple)
    if isinstance(a, Batch) and b <= 0:
        return holds(1, b)
    if isinstance(b, Batch) and a <= 0:
        return holds(a, 1)
    if isinstance(a, Batch) or isinstance(b, Batch):
        raise BatchInNumber
    return bool(holds(a, b))


def largest(a: Any, b: Any) -> Any:
    """max(a, b); a number that is at most 1 is not above N."""
    return _chosen(a, b, max)


def smallest(a: Any, b: Any) -> Any:
    """min(a, b), of numbers, or of a multiple of N and a number that is at most 1."""
    return _chosen(a, b, min)


def _chosen(a: Any, b: Any, choose: Callable[..., Any]) -> Any:
    if isinstance(a, Batch) and isinstance(b, Batch):
        return Batch(choose(a.multiple, b.multiple))
    if isinstance(b, Batch):
        a, b = b, a
    if isinstance(a, Batch):
        if b > 1:
            raise BatchInNumber
        return a if choose is max else b
    return choose(a, b)


def elementwise(function: Callable[..., Any], *arrays: Array) -> Array:
    """A function of elements, with broadcasting; the result may be of rank 0."""
    wide = np.broadcast_arrays(*arrays)
    flat = [function(*row) for row in zip(*(array.reshape(-1) for array in wide), strict=True)]
    return objects(flat, wide[0].shape)
