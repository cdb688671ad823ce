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

#: Measurements of candidates, at most; one more where even the smallest must be tried.
MOST = 8

#: A cost that is so near below the budget, relative to it, ends the search.
NEAR = 0.01

#: A guess stays so far, relative to the gap, from the ends that were measured already.
_MARGIN = 0.1


@dataclass(frozen=True)
class Allowed:
    """A measured budget.

    Attributes:
        measure: "instructions" or "latency", for what is said.
        amount: a share of the given network's cost, or an amount.
        is_share: which of the two.
    """

    measure: str
    amount: float
    is_share: bool

    def text(self, value: float) -> str:
        """An amount with its unit."""
        return f"{value:,.0f} instructions" if self.measure == "instructions" else f"{value:.4g} ms"

    def cost(self, reading: Reading) -> float:
        """What is held against the amount."""
        return reading.share if self.is_share else reading.value

    def meets(self, reading: Reading) -> bool:
        """Whether the reading is within the budget."""
        return self.cost(reading) <= self.amount


class Measuring(Protocol):
    """Measures candidates against the graph that the budget is a share of: its ``macs``, and ``before``, its reading."""

    @property
    def macs(self) -> int:
        """See above."""

    @property
    def before(self) -> Reading:
        """See above."""

    def __call__(self, graph: Graph) -> Reading:
        """The reading of a candidate."""


@dataclass
class Found:
    """What goes, and what was measured on the way: by multiply-accumulates of the candidate."""

    gone: Gone
    reading: Reading
    readings: list[tuple[int, Reading]] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """The measurements as plain data."""
        return [{"macs": macs, "value": reading.value, "share": reading.share} for macs, reading in self.readings]


def meet_measured(analysis: Analysis, allowed: Allowed, within: Callable[[float], Gone], gauge: Measuring) -> Found:
    """What goes so that the measured cost of the rest is within the budget.

    Cost is taken to follow multiply-accumulates nearly in a line, so candidates are chosen by those, between the dearest
    network that fits and the cheapest that does not. What is returned was measured and fits; how near below the budget it is
    depends on how evenly kernels take other widths.

    Args:
        analysis: of the graph.
        allowed: the budget.
        within: what goes so that so many multiply-accumulates are left, or as few as can be.
        gauge: measures.

    Raises:
        OverBudget: the budget is missed even with all removed that may go.
        EdgekitError: what a measurement raises.
    """
    whole, before = gauge.macs, gauge.before
    if allowed.meets(before):
        return Found(within(whole), before)
    readings: list[tuple[int, Reading]] = []
    dear, cheap = (whole, allowed.cost(before)), (0, 0.0)  # as if nothing but multiply-accumulates cost anything
    best: tuple[Gone, Reading] | None = None
    for _ in range(MOST):
        gone = within(_guess(dear, cheap, allowed.amount))
        macs = _macs(analysis, gone)
        if any(macs == tried for tried, _ in readings):
            break
        reading = gauge(shrink(analysis, gone))
        readings.append((macs, reading))
        cost = allowed.cost(reading)
        if not allowed.meets(reading):
            if best is None:
                cheap = (0, _intercept(dear, (macs, cost)))
            dear = (macs, cost)
            continue
        best, cheap = (gone, reading), (macs, cost)
        if cost >= allowed.amount * (1 - NEAR):
            break
    if best is None:
        best = _smallest(analysis, allowed, within, gauge, readings)
    return Found(*best, readings)


def _intercept(one: tuple[int, float], other: tuple[int, float]) -> float:
    """What a line through two candidates costs without any multiply-accumulate."""
    (a, cost_a), (b, cost_b) = one, other
    return max(cost_b - (cost_a - cost_b) / (a - b) * b, 0.0) if a != b else 0.0


def _guess(dear: tuple[int, float], cheap: tuple[int, float], amount: float) -> float:
    """Multiply-accumulates at which the cost is likely to be just within the budget."""
    (most, cost), (least, low) = dear, cheap
    aim = amount * (1 - NEAR / 2)
    share = (aim - low) / (cost - low) if cost > low else 0.5
    return least + (most - least) * min(max(share, _MARGIN), 1 - _MARGIN)


def _smallest(
    analysis: Analysis,
    allowed: Allowed,
    within: Callable[[float], Gone],
    gauge: Measuring,
    readings: list[tuple[int, Reading]],
) -> tuple[Gone, Reading]:
    """The smallest network; OverBudget where it does not fit either."""
    gone = within(0.0)
    macs = _macs(analysis, gone)
    known = next((reading for tried, reading in readings if tried == macs), None)
    reading = known or gauge(shrink(analysis, gone))
    if known is None:
        readings.append((macs, reading))
    if not allowed.meets(reading):
        limit = f"{allowed.amount:.0%} of it" if allowed.is_share else allowed.text(allowed.amount)
        raise OverBudget(
            f"pruning cannot bring {allowed.text(gauge.before.value)} to {limit}: with one channel left of every group that "
            f"may lose some {allowed.text(reading.value)} were measured",
            hint="a larger budget, or another network; the record of a prune by ratio names what had to stay and why",
        )
    return gone, reading


def _macs(analysis: Analysis, gone: Gone) -> int:
    return MEASURES["macs"](shrink(analysis, gone, shapes_only=True))
