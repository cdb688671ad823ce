"""Arithmetic on sizes of which some are multiples of the batch size N: what exporters compute shapes with.

Sources whose files compute their shapes as they run (ONNX's ``Shape -> Gather -> Concat -> Reshape``, TFLite's SHAPE,
STRIDED_SLICE, PACK) resolve them here while they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.ir.types import Batch


class BatchInNumber(ValueError):
    """The batch size enters a computation that is no size any more."""

    def __init__(self) -> None:
        super().__init__("the result is neither a number nor a multiple of the batch size")


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
    """a / b; integers are divided as ONNX and TFLite do, towards zero."""
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


def floor_divide(a: Any, b: Any) -> Any:
    """The largest size that is not above a / b."""
    return a // b if isinstance(a, int) and isinstance(b, int) and b else divide(a, b)


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
