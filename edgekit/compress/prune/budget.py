"""The smallest ratio that meets a budget, found by bisection on shapes alone."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.removal import Gone, shrink
from edgekit.errors import OverBudget
from edgekit.ir import Graph

#: What a budget may count.
MEASURES: dict[str, Callable[[Graph], int]] = {
    "macs": lambda graph: graph.macs,
    "parameters": lambda graph: graph.parameters,
    "bytes": lambda graph: weight_bytes(graph),
}

#: Halvings of the ratio: finer than a channel of a layer with thousands.
_STEPS = 13

#: The highest ratio: every group keeps a channel.
_MOST = 1.0 - 1e-6


def weight_bytes(graph: Graph) -> int:
    """Bytes of all constants that nodes read."""
    read = {id(v): v for node in graph.nodes for v in node.inputs if v is not None and v.is_constant}
    return sum(v.tensor.numel() * v.tensor.element_size() for v in read.values())


def meet(analysis: Analysis, measure: str, budget: float, pick: Callable[[float], Gone]) -> Gone:
    """What goes so that ``measure`` of the rest is within the budget, and no more than needed.

    Args:
        analysis: of the graph.
        measure: a key of ``MEASURES``.
        budget: a share of the graph's own cost up to 1.0, an amount above.
        pick: what goes at a ratio.

    Raises:
        OverBudget: the budget is missed even with all removed that may go.
    """
    count = MEASURES[measure]
    before = count(analysis.graph)
    allowed = budget * before if budget <= 1.0 else budget

    def cost(gone: Gone) -> int:
        return count(shrink(analysis, gone, shapes_only=True))

    low, high = 0.0, _MOST
    if cost(none := pick(low)) <= allowed:
        return none
    best = pick(high)
    if (least := cost(best)) > allowed:
        raise OverBudget(
            f"pruning cannot bring {measure} from {before:,} to {allowed:,.0f}: with one channel left of every group that may "
            f"lose some they are {least:,}",
            hint="a larger budget, or another network; the record of a prune by ratio names what had to stay and why",
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        gone = pick(middle)
        if cost(gone) <= allowed:
            best, high = gone, middle
        else:
            low = middle
    return best
