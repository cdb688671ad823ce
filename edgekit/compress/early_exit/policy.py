"""Thresholds for a goal: which samples leave where, chosen on samples that nothing was trained on.

Any choice of thresholds gives a mean cost and a top-1. One exit's best threshold, all others fixed, is found exactly: samples
in the order of their scores, running sums of cost and of right answers. Several exits start from the best of a grid of
quantiles of all of them, and are then refined one after the other until nothing gets better.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgekit.compress.early_exit.step import EarlyExit

Array = NDArray[np.float64]

#: Combinations of thresholds that a search starts from, at most.
_GRID = 4096

#: By how much a sum of shares may be off.
_ROUNDING = 1e-9

#: Above every score: nobody leaves.
CLOSED = 1.0


@dataclass(frozen=True)
class Seen:
    """What the exits say about samples.

    Attributes:
        scores: (exits, samples), without the last exit, which answers for what is left.
        right: (exits + 1, samples), whether each exit's answer is the label.
        costs: of one sample that leaves at each exit, as shares of the whole network's.
        whole: (samples,), whether the network without exits is right; None: as the last exit is.
        repeats: how many of the samples are the same one, differently augmented: they say no more together than one does.
    """

    scores: Array
    right: NDArray[np.bool_]
    costs: Array
    whole: NDArray[np.bool_] | None = None
    repeats: int = 1

    @property
    def alone(self) -> NDArray[np.bool_]:
        """Whether the network without exits is right."""
        last: NDArray[np.bool_] = self.right[-1]
        return last if self.whole is None else self.whole

    @property
    def samples(self) -> int:
        """How many there are."""
        return int(self.right.shape[1])


@dataclass(frozen=True)
class Goal:
    """What thresholds are chosen for.

    Attributes:
        max_drop: share of samples (not points) that may be lost beside the last exit alone; None: any.
        mean_cost: share of the whole network's cost; None: any.
        caution: standard errors added to a drop.
    """

    max_drop: float | None
    mean_cost: float | None
    caution: float = 0.0

    @staticmethod
    def of(step: EarlyExit) -> Goal:
        """Of a step, whose drop is in points."""
        return Goal(None if step.max_drop is None else step.max_drop / 100.0, step.mean_cost, step.caution)

    def rank(self, drop: Array, spread: Array, cost: Array) -> tuple[Array, Array]:
        """Smaller is better: by how far the goal is missed, then what is to be made least.

        ``spread`` is the share of samples that only one of the two gets right: the variance of a sample's difference.
        """
        if self.max_drop is None:
            assert self.mean_cost is not None
            return np.maximum(cost - self.mean_cost - _ROUNDING, 0.0), drop
        return np.maximum(drop + self.caution * spread - self.max_drop - _ROUNDING, 0.0), cost


def leaves_at(seen: Seen, thresholds: Array) -> NDArray[np.int64]:
    """The exit of every sample."""
    passed = seen.scores > thresholds[:, None]
    return np.where(passed.any(0), passed.argmax(0), len(thresholds))


def choose(seen: Seen, goal: Goal) -> Array:
    """The thresholds, one for each exit but the last.

    Each lies in the middle between two scores that occur, so that rounding decides nothing; ``CLOSED`` for an exit that the
    goal leaves no room for.
    """
    best = _from_grid(seen, goal)
    value = worth(seen, goal, best)
    while True:
        for index in range(len(best)):
            best[index] = _refined(seen, goal, best, index)
        now = worth(seen, goal, best)
        if now >= value:
            return best.astype(np.float32).astype(np.float64)
        value = now


def worth(seen: Seen, goal: Goal, thresholds: Array) -> tuple[float, float]:
    """What thresholds come to: by how far they miss the goal, and what is made least; smaller is better."""
    place = leaves_at(seen, thresholds)
    right = seen.right[place, np.arange(seen.samples)]
    drop, spread = _drop(right, seen.alone, seen.repeats)
    missed, least = goal.rank(np.array(drop), np.array(spread), np.array(seen.costs[place].mean()))
    return float(missed), float(least)


def _drop(right: NDArray[np.bool_], alone: NDArray[np.bool_], repeats: int) -> tuple[float, float]:
    """Share of samples lost, and its standard error."""
    differs = float((right != alone).mean())
    drop = float(alone.mean() - right.mean())
    return drop, math.sqrt(max(differs - drop * drop, 0.0) * repeats / len(right))


def _from_grid(seen: Seen, goal: Goal) -> Array:
    count = len(seen.scores)
    steps = max(int(_GRID ** (1.0 / count)), 2)
    shares = np.linspace(0.0, 1.0, steps)
    columns = [[CLOSED, *dict.fromkeys(_between(np.sort(row), int(s * len(row))) for s in shares)] for row in seen.scores]
    found = [np.array(point) for point in itertools.product(*columns)]
    return min(found, key=lambda point: worth(seen, goal, point)).copy()


def _between(ordered: Array, place: int) -> float:
    """Halfway between two neighbours of rising scores: ``place`` of them are below."""
    low = ordered[place - 1] if place > 0 else 0.0
    high = ordered[place] if place < len(ordered) else CLOSED
    return float((low + high) / 2)


def _refined(seen: Seen, goal: Goal, thresholds: Array, index: int) -> float:
    """The best threshold of one exit, the others fixed, over all scores that reach it."""
    others = thresholds.copy()
    others[index] = CLOSED
    without = leaves_at(seen, others)
    reached = np.flatnonzero(without > index)
    order = reached[np.argsort(-seen.scores[index, reached], kind="stable")]
    scores = seen.scores[index, order]
    samples = np.arange(seen.samples)
    right = seen.right[without, samples]
    alone = seen.alone
    # Row k: the k surest of them leave here.
    gained = seen.right[index, order].astype(float) - right[order]
    differs = (seen.right[index, order] != alone[order]).astype(float) - (right[order] != alone[order])
    saved = seen.costs[index] - seen.costs[without[order]]
    drops = alone.mean() - right.mean() - _running(gained) / seen.samples
    different = (right != alone).mean() + _running(differs) / seen.samples
    spreads = np.sqrt(np.maximum(different - drops**2, 0.0) * seen.repeats / seen.samples)
    costs = seen.costs[without].mean() + _running(saved) / seen.samples
    missed, least = goal.rank(drops, spreads, costs)
    allowed = np.concatenate([[True], scores[:-1] > scores[1:], [True]]) if len(scores) else np.array([True])
    places = np.flatnonzero(allowed)
    best = places[np.lexsort((places, least[places], missed[places]))[0]]
    if best == 0:
        return CLOSED
    below = scores[best] if best < len(scores) else 0.0
    return float((scores[best - 1] + below) / 2)


def _running(amounts: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(amounts)])
