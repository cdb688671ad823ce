"""The measuring loop: launches of several artifacts in turn, until their intervals are narrow enough.

It knows no transport and no clock: an :class:`Executor` makes launches, so tests script them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgekit.bench.headline import Headline
from edgekit.bench.launch import Launch
from edgekit.bench.statistics import estimate, ratio_of_rounds, spread

#: The sentinel's loop varies more than this between (10th to 90th percentile) or within launches: the machine was not steady.
_UNSTEADY = 0.10


@dataclass(frozen=True)
class Stopping:
    """When to stop.

    Attributes:
        launches: launches per artifact before the interval is looked at; with fewer, a bootstrap interval means little.
        at_most: launches per artifact in any case.
        half_width: the relative half-width of every artifact's 95 % interval that ends the measurement.
    """

    launches: int = 15
    at_most: int = 40
    half_width: float = 0.02


class Executor(Protocol):
    """Makes one launch of one artifact."""

    def launch(self, arm: int) -> Launch:
        """Run artifact number ``arm`` once, in a process of its own."""


#: Called after each round: rounds done, the most there can be, and the widest half-width (None before it counts).
Progress = Callable[[int, int, float | None], None]


def run_rounds(
    executor: Executor, arms: int, stopping: Stopping, headline: Headline = Headline.MEDIAN, progress: Progress | None = None
) -> list[list[Launch]]:
    """Launches per artifact, made in turn (A B A B ...), so that a drift of the machine meets all alike."""
    launches: list[list[Launch]] = [[] for _ in range(arms)]
    for done in range(1, stopping.at_most + 1):
        for arm in range(arms):
            launches[arm].append(executor.launch(arm))
        width = _widest(launches, headline) if done >= min(stopping.launches, stopping.at_most) else None
        if progress:
            progress(done, stopping.at_most, width)
        if width is not None and width <= stopping.half_width:
            break
    return launches


def _widest(launches: list[list[Launch]], headline: Headline) -> float:
    """The widest relative half-width: of each artifact's headline (95 %), and of its ratio to the first's (99 %: claims)."""
    figures = [headline.of(arm) for arm in launches]
    widths = [headline.estimate(arm).half_width for arm in launches]
    widths += [ratio_of_rounds(figures[0], arm, headline.estimator).half_width for arm in figures[1:]]
    return max(widths)


def instability(launches: list[Launch], stopping: Stopping, headline: Headline = Headline.MEDIAN) -> tuple[str, ...]:
    """Why these launches are not to be relied on; empty where they are steady."""
    reasons = []
    width = headline.estimate(launches).half_width
    if width > 2.5 * stopping.half_width:
        reasons.append(f"the interval is +-{width:.1%} after {len(launches)} launches")
    pairs = [launch.sentinel_us for launch in launches if launch.sentinel_us]
    if pairs:
        between = spread([(before + after) / 2 for before, after in pairs])
        within = estimate([max(pair) / min(pair) - 1 for pair in pairs]).value
        if between > _UNSTEADY:
            reasons.append(f"the machine's speed varied by {between:.0%} between launches")
        if within > _UNSTEADY:
            reasons.append(f"the machine's speed varied by {within:.0%} within a launch")
    return tuple(reasons)
