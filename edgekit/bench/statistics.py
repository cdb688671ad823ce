"""Statistics of launches: an estimate that repeats, its interval, and when a difference may be called a change.

One process gives one median; processes differ by tens of per cent on a busy machine while calls inside one agree, so the unit
of statistics is the launch. The estimate is the median of the launches' medians, its interval a seeded percentile bootstrap
over launches (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

_RESAMPLES = 4000


class Change(Enum):
    """What an interval of a ratio says about a change."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval.

    Attributes:
        value: the estimate, in the unit of what was estimated.
        low: lower end of the interval.
        high: upper end of the interval.
        confidence: the share of repetitions whose interval holds the true value, such as 0.95.
    """

    value: float
    low: float
    high: float
    confidence: float

    @property
    def half_width(self) -> float:
        """Half the interval's width relative to the value: 0.02 is plus or minus 2 %."""
        return (self.high - self.low) / 2 / self.value


def median_of(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The median of per-launch medians and its interval; the same values and seed give the same interval.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no launches to take a median of")
    data = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, data.size, size=(_RESAMPLES, data.size))
    return _interval(float(np.median(data)), np.median(data[picks], axis=1), confidence)


def ratio_of_rounds(base: Sequence[float], other: Sequence[float], confidence: float = 0.99, seed: int = 0) -> Estimate:
    """``other / base`` of two arms measured in turn: the median of the rounds' ratios, resampled by rounds.

    A drift of the machine moves both launches of a round alike and leaves their ratio alone.

    Raises:
        ValueError: the arms have different numbers of rounds, or none.
    """
    if len(base) != len(other) or not base:
        raise ValueError("a ratio needs the same number of rounds in both arms, at least one")
    return median_of((np.asarray(other, dtype=np.float64) / np.asarray(base, dtype=np.float64)).tolist(), confidence, seed)


def ratio_of_sessions(base: Sequence[float], other: Sequence[float], confidence: float = 0.99, seed: int = 0) -> Estimate:
    """``other / base`` of two measurements taken at different times: the ratio of their medians, resampled on both sides.

    Raises:
        ValueError: a side has no launch.
    """
    if not base or not other:
        raise ValueError("a ratio needs launches on both sides")
    rng = np.random.default_rng(seed)
    sides = []
    for values in (base, other):
        data = np.asarray(values, dtype=np.float64)
        sides.append(
            (float(np.median(data)), np.median(data[rng.integers(0, data.size, size=(_RESAMPLES, data.size))], axis=1))
        )
    (old, old_draws), (new, new_draws) = sides
    return _interval(new / old, new_draws / old_draws, confidence)


def change_of(ratio: Estimate, margin: float = 0.02) -> Change:
    """A change is claimed only where the whole interval lies outside 1 +- margin; SAME where it lies inside."""
    if ratio.low > 1 + margin:
        return Change.SLOWER
    if ratio.high < 1 - margin:
        return Change.FASTER
    if ratio.low >= 1 - margin and ratio.high <= 1 + margin:
        return Change.SAME
    return Change.INCONCLUSIVE


def spread(values: Sequence[float]) -> float:
    """Distance between the 10th and the 90th percentile, relative to the median: one outlier cannot move it."""
    low, middle, high = np.percentile(np.asarray(values, dtype=np.float64), [10, 50, 90])
    return float((high - low) / middle)


def _interval(value: float, draws: np.ndarray[tuple[int, ...], np.dtype[np.float64]], confidence: float) -> Estimate:
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(value, float(low), float(high), confidence)
