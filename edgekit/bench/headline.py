"""The calls that a session's figure is the median of: all of them, or on a shared host those at the core's full speed.

The figure is always the median of the launches' medians. On a device it is of all calls: what the device's user waits for. In a
burst on a host it is of the undisturbed calls, those between two ticks of a fixed loop that ran at full speed: what the model
costs where nothing else runs (docs/decisions/benchmark-headline.md has what each repeats like).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from edgekit.bench.launch import Launch
from edgekit.bench.statistics import Estimate, estimate, ratio_of_rounds, ratio_of_sessions

#: Ticks of two processes at full speed differ by less than this: the loop's place in memory plays a part.
_SAME_SPEED = 1.06
#: Fewer undisturbed calls have no median worth its name.
_FEWEST_CALLS = 10


class Calls(Enum):
    """Which calls of a launch its median is of."""

    ALL = "all"
    UNDISTURBED = "undisturbed"


@dataclass(frozen=True)
class Headline:
    """The medians of an artifact's launches, in order, of the calls that count.

    Attributes:
        calls: which those are.
        medians: microseconds, one per launch that has such calls.
        disturbed: launches that have none.
    """

    calls: Calls
    medians: tuple[float, ...]
    disturbed: int = 0

    def estimate(self) -> Estimate:
        """The median of the medians with its 95 % interval."""
        return estimate(self.medians)


def headlines(arms: Sequence[Sequence[Launch]], planned: int) -> list[Headline]:
    """One per artifact, all of the same kind of calls.

    Of undisturbed calls where half of the ``planned`` launches of every artifact have some, and else of all calls.
    """
    full = full_speed([launch for arm in arms for launch in arm])
    quiet = [[median for launch in arm if (median := _undisturbed(launch, full)) is not None] for arm in arms]
    if all(medians and 2 * len(medians) >= min(len(arm), planned) for medians, arm in zip(quiet, arms, strict=True)):
        pairs = zip(quiet, arms, strict=True)
        return [Headline(Calls.UNDISTURBED, tuple(medians), len(arm) - len(medians)) for medians, arm in pairs]
    return [Headline(Calls.ALL, tuple(launch.median_us for launch in arm)) for arm in arms]


def full_speed(launches: Sequence[Launch]) -> float:
    """Microseconds of the tick at full speed, 0 where none was watched.

    The lower quartile of the launches' fastest ticks: a quarter of them agree, so that a core that ran above its usual clock
    for a moment does not make all other launches disturbed ones.
    """
    found = [launch.undisturbed.full_us for launch in launches if launch.undisturbed]
    return float(np.percentile(found, 25)) if found else 0.0


def ratio(base: Headline, other: Headline) -> Estimate:
    """``other / base`` with its 99 % interval, of two artifacts measured in turn.

    All calls are resampled by rounds, because a drift of the machine moves both launches of a round alike. Undisturbed calls
    know no drift, and the two launches of a round need not both have some.
    """
    pair = ratio_of_rounds if base.calls is Calls.ALL else ratio_of_sessions
    return pair(base.medians, other.medians)


def _undisturbed(launch: Launch, full: float) -> float | None:
    """The median of the launch's undisturbed calls, None where it has none or its own full speed is not the session's."""
    found = launch.undisturbed
    enough = found and found.calls >= _FEWEST_CALLS and found.full_us <= full * _SAME_SPEED
    return found.median_us if found and enough else None
