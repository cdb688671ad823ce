"""How far one set of outputs is from another: three figures, each a function of two numpy arrays of the same shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def sqnr_db(reference: ArrayLike, other: ArrayLike) -> float:
    """Signal to quantisation noise ratio, ``10 log10(sum r^2 / sum (r - o)^2)`` over all elements, in dB.

    Sums are in double precision. Equal arrays give infinity; a NaN or infinity in one that is not in the other, or noise
    without any signal, gives minus infinity.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = _pair(reference, other)
    if np.array_equal(a, b, equal_nan=True):
        return float("inf")
    noise = float(np.sum(np.square(a - b))) if bool(np.isfinite(a).all() and np.isfinite(b).all()) else float("inf")
    return decibels(float(np.sum(np.square(a))), noise)


def decibels(signal: float, noise: float) -> float:
    """``10 log10(signal / noise)`` of two energies; infinite without noise, minus infinity without signal or with infinite
    noise.
    """
    if noise == 0.0:
        return float("inf")
    if signal == 0.0 or not np.isfinite(noise):
        return float("-inf")
    return 10.0 * float(np.log10(signal / noise))


def max_abs_error(reference: ArrayLike, other: ArrayLike) -> float:
    """``max |r - o|``; 0 for empty arrays, infinity where only one of two elements is finite.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = _pair(reference, other)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if bool(same.all()):
        return 0.0
    difference = np.abs(a[~same] - b[~same])
    return float("inf") if not np.isfinite(difference).all() else float(difference.max())


def top1_agreement(reference: ArrayLike, other: ArrayLike) -> float:
    """Share of samples whose largest score is in the same place; of equal scores the first counts.

    Args:
        reference: scores, (samples, classes) or (samples, ..., classes): each position is then a sample.
        other: the same shape.

    Raises:
        ValueError: the shapes differ, or there are no scores to compare.
    """
    a, b = _pair(reference, other)
    if a.ndim < 2 or a.size == 0:
        raise ValueError(f"scores have the shape (samples, classes), not {a.shape}")
    return float(np.mean(np.argmax(a, axis=-1) == np.argmax(b, axis=-1)))


def has_scores(shape: tuple[int, ...]) -> bool:
    """Whether top-1 agreement means something: (samples, classes) with at least two classes."""
    return len(shape) == 2 and shape[1] >= 2


def _pair(reference: ArrayLike, other: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    a, b = np.asarray(reference), np.asarray(other)
    if a.shape != b.shape:
        raise ValueError(f"arrays of shapes {a.shape} and {b.shape} can't be compared")
    return a.astype(np.float64), b.astype(np.float64)
