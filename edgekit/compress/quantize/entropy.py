"""The range whose integers tell the most about what was seen: least Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.compress.quantize.statistics import Statistics

_Array = NDArray[np.float64]

#: Thresholds tried.
_CANDIDATES = 224

#: Added to the coarse distribution: a share of all elements that keeps the divergence finite where it has none.
_FLOOR = 1e-7


def entropy(stats: Statistics, levels: int = 256) -> tuple[float, float]:
    """The range at whose ends clipping, and between which rounding, lose the least information.

    For a threshold t the range is what was seen within [-t, t]. The reference P is the histogram of the range, with what lies
    outside added to its outermost bins; Q is the histogram inside, each of ``levels`` equal parts spread evenly over those of
    its bins that are not empty. The threshold with the least KL(P || Q) is taken.

    Source: S. Migacz, 8-bit Inference with TensorRT, GTC 2017, slides 28-36 and 38, where the range is symmetric; the bin that
    holds zero counts for no more than its neighbours do, because zero is represented exactly whatever the range is.
    """
    low, high = min(stats.low, 0.0), max(stats.high, 0.0)
    counts = stats.histogram.numpy().astype(np.float64)
    if counts.sum() == 0.0 or levels >= len(counts):  # finer integers than bins: nothing can be gained by clipping
        return stats.low, stats.high
    centres = stats.centres().numpy()
    counts = _without_zeros(counts, centres)
    width = (stats.high - stats.low) / len(counts)
    largest = max(-low, high)
    smallest = min(largest, width * levels)  # finer levels than bins can't be told apart
    best, found = np.inf, (low, high)
    for threshold in np.linspace(largest, smallest, _CANDIDATES):
        ends = max(low, -float(threshold)), min(high, float(threshold))
        loss = divergence(counts, centres, ends, levels)
        if loss < best:
            best, found = loss, ends
    return found


def divergence(counts: _Array, centres: _Array, ends: tuple[float, float], levels: int) -> float:
    """KL(P || Q) in nats for a range; infinite where nothing lies in it.

    Args:
        counts: of the histogram's bins, (B,).
        centres: of its bins, (B,).
        ends: of the range.
        levels: number of integers.
    """
    low, high = ends
    inside = (centres >= low) & (centres <= high)
    if high <= low or not counts[inside].any():
        return float("inf")
    kept = counts[inside]
    reference = kept.copy()
    reference[0] += counts[centres < low].sum()
    reference[-1] += counts[centres > high].sum()
    level = np.minimum(((centres[inside] - low) / (high - low) * levels).astype(np.int64), levels - 1)
    filled = (kept > 0).astype(np.float64)
    share = np.bincount(level, kept, levels) / np.maximum(np.bincount(level, filled, levels), 1.0)
    coarse = share[level] * filled
    p, q = _normal(reference), _normal(coarse + _FLOOR * kept.sum() / len(kept))
    present = p > 0
    return float((p[present] * np.log(p[present] / q[present])).sum())


def _normal(counts: _Array) -> _Array:
    share: _Array = counts / counts.sum()
    return share


def _without_zeros(counts: _Array, centres: _Array) -> _Array:
    """The histogram with the bin that holds zero no fuller than its neighbours."""
    at = int(np.abs(centres).argmin())
    if abs(centres[at]) > centres[1] - centres[0]:
        return counts
    beside = [counts[i] for i in (at - 1, at + 1) if 0 <= i < len(counts)]
    changed = counts.copy()
    changed[at] = min(counts[at], float(np.mean(beside)))
    return changed if changed.any() else counts
