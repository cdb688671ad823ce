"""Statistics of launches: an estimate that repeats, its interval, and when a difference may be called a change.

One process gives one median; processes differ by tens of per cent on a busy machine while calls inside one agree, so the unit
of statistics is the launch. The estimate is the median of the launches' medians; its interval is a seeded percentile bootstrap
over launches (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_RESAMPLES = 4000
#: Fewer launches cannot bound a median with 99 % confidence, whatever they are: 2 * 0.5**7 > 0.01.
FEWEST_TO_CLAIM = 8
#: What one process may be off by, on a machine that does other work too (docs/decisions/benchmark-headline.md).
_ONE_PROCESS = 0.6


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


def estimate(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The median and its interval; the same values and seed give the same interval.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no launches to estimate from")
    data = np.asarray(values, dtype=np.float64)
    draws = np.median(data[_picks(data.size, np.random.default_rng(seed))], axis=1)
    return _interval(float(np.median(data)), draws, confidence)


def ratio_of_rounds(base: Sequence[float], other: Sequence[float], confidence: float = 0.99, seed: int = 0) -> Estimate:
    """``other / base`` of two arms measured in turn, resampled by rounds: a drift moves both launches of a round alike.

    Raises:
        ValueError: the arms have different numbers of rounds, or none.
    """
    if len(base) != len(other) or not base:
        raise ValueError("a ratio needs the same number of rounds in both arms, at least one")
    arms = np.asarray([base, other], dtype=np.float64)
    picks = _picks(arms.shape[1], np.random.default_rng(seed))
    old, new = (np.median(arm[picks], axis=1) for arm in arms)
    whole = np.median(arms, axis=1)
    return _cautious(_interval(float(whole[1] / whole[0]), new / old, confidence), arms.shape[1])


def ratio_of_sessions(base: Sequence[float], other: Sequence[float], confidence: float = 0.99, seed: int = 0) -> Estimate:
    """``other / base`` of two measurements taken at different times, resampled on both sides.

    Raises:
        ValueError: a side has no launch.
    """
    if not base or not other:
        raise ValueError("a ratio needs launches on both sides")
    rng = np.random.default_rng(seed)
    sides = [np.asarray(values, dtype=np.float64) for values in (base, other)]
    old, new = (np.median(side[_picks(side.size, rng)], axis=1) for side in sides)
    found = _interval(float(np.median(sides[1]) / np.median(sides[0])), new / old, confidence)
    return _cautious(found, min(len(base), len(other)))


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


def _picks(size: int, rng: np.random.Generator) -> _Integers:
    return rng.integers(0, size, size=(_RESAMPLES, size))


def _cautious(ratio: Estimate, launches: int) -> Estimate:
    """The interval, not narrower than so few launches allow: a bootstrap of one launch would claim anything for certain."""
    if launches >= FEWEST_TO_CLAIM:
        return ratio
    margin = ratio.value * _ONE_PROCESS / launches
    return Estimate(ratio.value, min(ratio.low, ratio.value - margin), max(ratio.high, ratio.value + margin), ratio.confidence)


def _interval(value: float, draws: _Floats, confidence: float) -> Estimate:
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(value, float(low), float(high), confidence)
