"""Statistics of launches: an estimate that repeats, its interval, and when a difference may be called a change.

One process gives one median; processes differ by tens of per cent on a busy machine while calls inside one agree, so the unit
of statistics is the launch. On a device the estimate is the median of the launches' medians: what its user gets. On a host that
other work shares, that other work only ever slows a call down, so the fast end is what repeats: the lower quartile of the
launches' fastest calls (docs/decisions/benchmark-headline.md has the figures). The interval is a seeded percentile
bootstrap over launches (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
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


class Estimator(Enum):
    """What is taken of the launches' figures: a percentile."""

    MEDIAN = 50
    LOWER_QUARTILE = 25


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


def estimate(
    values: Sequence[float], estimator: Estimator = Estimator.MEDIAN, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """The estimate and its interval; the same values and seed give the same interval.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no launches to estimate from")
    data = np.asarray(values, dtype=np.float64)
    draws = _percentile(data[_picks(data.size, np.random.default_rng(seed))], estimator)
    return _interval(float(np.percentile(data, estimator.value)), draws, confidence)


def ratio_of_rounds(
    base: Sequence[float],
    other: Sequence[float],
    estimator: Estimator = Estimator.MEDIAN,
    confidence: float = 0.99,
    seed: int = 0,
) -> Estimate:
    """``other / base`` of two arms measured in turn, resampled by rounds: a drift moves both launches of a round alike.

    Raises:
        ValueError: the arms have different numbers of rounds, or none.
    """
    if len(base) != len(other) or not base:
        raise ValueError("a ratio needs the same number of rounds in both arms, at least one")
    arms = np.asarray([base, other], dtype=np.float64)
    picks = _picks(arms.shape[1], np.random.default_rng(seed))
    old, new = (_percentile(arm[picks], estimator) for arm in arms)
    whole = np.percentile(arms, estimator.value, axis=1)
    return _interval(float(whole[1] / whole[0]), new / old, confidence)


def ratio_of_sessions(
    base: Sequence[float],
    other: Sequence[float],
    estimator: Estimator = Estimator.MEDIAN,
    confidence: float = 0.99,
    seed: int = 0,
) -> Estimate:
    """``other / base`` of two measurements taken at different times, resampled on both sides.

    Raises:
        ValueError: a side has no launch.
    """
    if not base or not other:
        raise ValueError("a ratio needs launches on both sides")
    rng = np.random.default_rng(seed)
    sides = [np.asarray(values, dtype=np.float64) for values in (base, other)]
    old, new = (_percentile(side[_picks(side.size, rng)], estimator) for side in sides)
    value = np.percentile(sides[1], estimator.value) / np.percentile(sides[0], estimator.value)
    return _interval(float(value), new / old, confidence)


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


def _percentile(samples: _Floats, estimator: Estimator) -> _Floats:
    return np.asarray(np.percentile(samples, estimator.value, axis=1))


def _interval(value: float, draws: _Floats, confidence: float) -> Estimate:
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(value, float(low), float(high), confidence)
