"""The largest network that a measurement finds within its budget: a search with few measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgekit.compress.gauging.meters import Reading
from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.budget import MEASURES
from edgekit.compress.prune.removal import Gone, shrink
from edgekit.errors import OverBudget
from edgekit.ir import Graph

#: Measurements of candidates, at most.
MOST = 8

#: A cost that is so near below the budget, relative to it, ends the search.
NEAR = 0.01

#: A rough reading that is so many times the budget needs no other.
FAR = 2.0

#: A guess stays so far, relative to the gap, from the ends that were measured already.
_MARGIN = 0.1


@dataclass(frozen=True)
class Allowed:
    """A measured budget.

    Attributes:
        measure: "bytes", "instructions" or "latency", for what is said.
        amount: a share of the given network's cost, or an amount.
        is_share: which of the two.
    """

    measure: str
    amount: float
    is_share: bool

    def text(self, value: float) -> str:
        """An amount with its unit."""
        return f"{value:.4g} ms" if self.measure == "latency" else f"{value:,.0f} {self.measure}"

    def cost(self, reading: Reading) -> float:
        """What is held against the amount."""
        return reading.share if self.is_share else reading.value

    def meets(self, reading: Reading) -> bool:
        """Whether the reading is within the budget."""
        return self.cost(reading) <= self.amount


class Measuring(Protocol):
    """Measures candidates against the graph that the budget is a share of.

    ``whole`` is what that has of the count by which candidates are chosen, ``before`` its reading.
    """

    @property
    def whole(self) -> int:
        """See above."""

    @property
    def before(self) -> Reading:
        """See above."""

    def __call__(self, graph: Graph) -> Reading:
        """The reading of a candidate."""

    def glance(self, graph: Graph) -> Reading:
        """Likewise, and rough where that is quicker."""


@dataclass
class Found:
    """What goes, and what was measured on the way: by the count of the candidate."""

    gone: Gone
    reading: Reading
    readings: list[tuple[int, Reading]] = field(default_factory=list)

    def rows(self, count: str) -> list[dict[str, Any]]:
        """The measurements as plain data; ``count`` is the name of what candidates were chosen by."""
        return [{count: each, "value": reading.value, "share": reading.share} for each, reading in self.readings]


@dataclass(frozen=True)
class Candidates:
    """What may be measured.

    Attributes:
        count: a key of ``MEASURES`` that the cost follows nearly in a line.
        within: what goes so that so much of that is left, or as little as can be.
        smallest: what goes at most.
        how_small: what that leaves, for what is said; larger: what to try where it is over the budget.
    """

    count: str
    within: Callable[[float], Gone]
    smallest: Callable[[], Gone]
    how_small: str
    larger: str


def meet_measured(analysis: Analysis, allowed: Allowed, candidates: Candidates, gauge: Measuring) -> Found:
    """What goes so that the measured cost of the rest is within the budget.

    The smallest network is measured first: it says whether the budget can be met, and where the line begins on which the
    cost lies nearly. The others are chosen between the dearest network that fits and the cheapest that does not. What is
    returned was measured and fits; how near below the budget it is depends on how evenly kernels take other widths.

    Args:
        analysis: of the graph.
        allowed: the budget.
        candidates: what may go.
        gauge: measures.

    Raises:
        OverBudget: the budget is missed even with all removed that may go.
        EdgekitError: what a measurement raises.
    """
    gone = candidates.smallest()
    small = shrink(analysis, gone)
    if allowed.cost(rough := gauge.glance(small)) > FAR * allowed.amount:
        raise _over(analysis, allowed, candidates, rough)
    if allowed.meets(gauge.before):
        return Found(candidates.within(gauge.whole), gauge.before)
    count, reading = _count(analysis, candidates, gone), gauge(small)
    if not allowed.meets(reading):
        raise _over(analysis, allowed, candidates, reading)
    found = Found(gone, reading, [(count, reading)])
    dear, cheap = (gauge.whole, allowed.cost(gauge.before)), (count, allowed.cost(reading))
    while len(found.readings) < MOST and cheap[1] < allowed.amount * (1 - NEAR):
        gone = candidates.within(_guess(dear, cheap, allowed.amount))
        count = _count(analysis, candidates, gone)
        if any(count == tried for tried, _ in found.readings):
            break
        reading = gauge(shrink(analysis, gone))
        found.readings.append((count, reading))
        if allowed.meets(reading):
            found.gone, found.reading, cheap = gone, reading, (count, allowed.cost(reading))
        else:
            dear = (count, allowed.cost(reading))
    return found


def _over(analysis: Analysis, allowed: Allowed, candidates: Candidates, reading: Reading) -> OverBudget:
    """The error for a budget that the smallest network misses."""
    limit = f"{100 * allowed.amount:g}%" if allowed.is_share else allowed.text(allowed.amount)
    found = allowed.text(reading.value) + (f", {100 * reading.share:.3g}%," if allowed.is_share else "")
    return OverBudget(
        f"pruning cannot bring the {allowed.measure} to {limit}: {candidates.how_small} {found} were measured",
        where=f"prune of {analysis.graph.name}",
        hint=candidates.larger,
    )


def _guess(dear: tuple[int, float], cheap: tuple[int, float], amount: float) -> float:
    """The count at which the cost is likely to be just within the budget."""
    (most, cost), (least, low) = dear, cheap
    aim = amount * (1 - NEAR / 2)
    share = (aim - low) / (cost - low) if cost > low else 0.5
    return least + (most - least) * min(max(share, _MARGIN), 1 - _MARGIN)


def _count(analysis: Analysis, candidates: Candidates, gone: Gone) -> int:
    return MEASURES[candidates.count](shrink(analysis, gone, shapes_only=True))
