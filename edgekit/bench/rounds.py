"""The measuring loop: launches of several artifacts in turn, until their intervals are narrow enough.

It knows no transport and no clock: an :class:`Executor` makes launches, so tests script them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgekit.bench.headline import Calls, Headline, headlines, ratio
from edgekit.bench.launch import Launch
from edgekit.bench.statistics import FEWEST_TO_CLAIM, estimate, spread

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


def run_rounds(executor: Executor, arms: int, stopping: Stopping, progress: Progress | None = None) -> list[list[Launch]]:
    """Launches per artifact, made in turn (A B A B ...), so that a drift of the machine meets all alike."""
    launches: list[list[Launch]] = [[] for _ in range(arms)]
    for done in range(1, stopping.at_most + 1):
        for arm in range(arms):
            launches[arm].append(executor.launch(arm))
        width = _widest(launches, stopping) if done >= min(stopping.launches, stopping.at_most) else None
        if progress:
            progress(done, stopping.at_most, width)
        if width is not None and width <= stopping.half_width:
            break
    return launches


def _widest(launches: list[list[Launch]], stopping: Stopping) -> float | None:
    """The widest relative half-width: of each artifact's headline (95 %), and of its ratio to the first's (99 %: claims).

    None while the machine's speed is watched and too few launches have met it undisturbed.
    """
    found = headlines(launches, stopping.launches)
    if found[0].calls is Calls.ALL and any(launch.undisturbed for arm in launches for launch in arm):
        return None
    widths = [headline.estimate().half_width for headline in found]
    if len(launches[0]) >= FEWEST_TO_CLAIM:
        widths += [ratio(found[0], other).half_width for other in found[1:]]
    return max(widths)


def instability(launches: list[Launch], headline: Headline, stopping: Stopping) -> tuple[str, ...]:
    """Why these launches are not to be relied on; empty where they are steady."""
    reasons = []
    if headline.calls is Calls.ALL and any(launch.undisturbed for launch in launches):
        reasons.append("other work disturbed more than half of the launches throughout, so the figure is of all calls")
    width = headline.estimate().half_width
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
