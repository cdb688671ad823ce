"""Bytes as elements of 2 to 64 bits, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TYPES = {8: "u1", 16: "<u2", 32: "<u4", 64: "<u8"}


def split(data: bytes, bits: int) -> NDArray[np.unsignedinteger]:
    """The elements as unsigned numbers; of those smaller than a byte the lowest bits come first."""
    if bits >= 8:
        return np.frombuffer(data, _TYPES[bits])
    content = np.frombuffer(data, np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((content[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1).astype(np.uint8)


def join(elements: NDArray[np.unsignedinteger], bits: int) -> bytes:
    """The inverse of ``split``."""
    if bits >= 8:
        return elements.astype(_TYPES[bits]).tobytes()
    per = 8 // bits
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    bytes_: NDArray[np.uint8] = (elements.astype(np.uint8).reshape(-1, per) << shifts).sum(axis=1, dtype=np.uint8)
    return bytes_.tobytes()


def count_of(size: int, bits: int) -> int:
    """Elements in so many bytes."""
    return size * 8 // bits


def rank(numbers: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.unsignedinteger]:
    """Unsigned numbers in the order of what the elements mean: two's complement up to a byte, floats above."""
    sign = numbers.dtype.type(1 << (bits - 1))
    if bits <= 8:
        return numbers ^ sign
    return np.where(numbers & sign, ~numbers, numbers ^ sign)


def unrank(ranks: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.unsignedinteger]:
    """The inverse of ``rank``."""
    sign = ranks.dtype.type(1 << (bits - 1))
    if bits <= 8:
        return ranks ^ sign
    return np.where(ranks & sign, ranks ^ sign, ~ranks)
