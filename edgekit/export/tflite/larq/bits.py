"""Signs as bits, as Larq Compute Engine holds them, and the options of its operators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flatbuffers import flexbuffers
from numpy.typing import NDArray

#: Signs in one integer.
WORD = 32

Array = NDArray[np.generic]


def words(channels: int) -> int:
    """Integers that hold this many signs."""
    return -(-channels // WORD)


def packed_signs(values: Array) -> NDArray[np.int32]:
    """Integers (..., C) as words (..., ceil(C / 32)): bit i of a word is 1 where channel i is negative; the rest is 0."""
    channels = values.shape[-1]
    bits = np.zeros((*values.shape[:-1], words(channels) * WORD), np.uint32)
    bits[..., :channels] = np.less(values, 0)
    shifted = bits.reshape(*values.shape[:-1], -1, WORD) << np.arange(WORD, dtype=np.uint32)
    packed: NDArray[np.int32] = np.bitwise_or.reduce(shifted, axis=-1).view(np.int32)
    return packed


def differing(least: NDArray[np.int64], terms: int) -> NDArray[np.int32]:
    """Thresholds on sums as thresholds on differing bits.

    Of ``terms`` products of signs d differ, and the sum is terms - 2 d. It is below ``least`` (the result is -1) exactly where
    d > floor((terms - least) / 2), the comparison that LceBconv2d makes.
    """
    return ((terms - least) // 2).astype(np.int32)


def encoded(fields: Mapping[str, int]) -> bytes:
    """Options of a custom operator: a FlexBuffer map of integers."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for name in sorted(fields):
            builder.Key(name)
            builder.Int(fields[name])
    return bytes(builder.Finish())
