"""Which float constants a file may hold in 16 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A float constant of at least this many elements is stored in 16 bits where that is asked for; expanding a smaller one
#: would cost more bytes for the operator than it saves.
SMALLEST_FLOAT16 = 128


def fits_float16(array: NDArray[np.generic]) -> bool:
    """Whether 16 bits hold float32 values.

    A number beyond their range (a mask's -1e9) would become infinity, and numbers below 6e-5 have fewer digits: a constant
    made of such is no constant in 16 bits. Ordinary ones lose 70 dB of their signal.
    """
    if array.dtype != np.float32 or not bool(np.abs(array).max(initial=0.0) <= np.finfo(np.float16).max):
        return False
    lost = array - array.astype(np.float16).astype(np.float32)
    return bool(np.square(lost, dtype=np.float64).sum() <= 1e-6 * np.square(array, dtype=np.float64).sum())
