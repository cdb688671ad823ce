"""The smallest ratio that meets a budget, found by bisection on shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.removal import Gone, shrink
from edgekit.errors import OverBudget
from edgekit.ir import Graph

#: What a budget may count.
MEASURES: dict[str, Callable[[Graph], int]] = {
    "macs": lambda graph: graph.macs,
    "parameters": lambda graph: graph.parameters,
}

#: Halvings of the ratio: finer than a channel of a layer with thousands.
_STEPS = 13

#: How often a single group is offered channels back, and the share of the budget that is not worth another try.
_TRIES, _SLACK = 24, 0.003

#: How often the smallest rounded network is looked for anew.
_REFINEMENTS = 4

#: The highest ratio: every group keeps a channel.
HIGHEST = 1.0 - 1e-6


def weight_bytes(graph: Graph) -> int:
    """Bytes of all constants that nodes read."""
    read = {id(v): v for node in graph.nodes for v in node.inputs if v is not None and v.is_constant}
    return sum(v.tensor.numel() * v.tensor.element_size() for v in read.values())


@dataclass(frozen=True)
class Choices:
    """What may be chosen from.

    Attributes:
        groups: how many there are.
        pick: what goes at a ratio, one for all groups or one for each.
        between: which groups lose fewer channels at the first of two ratios than at the second, those first that should have
            theirs back.
        least: the fewest channels that ``round_to`` allows, by what a channel of each group costs.
        channels: of each group, by class.
        round_to: layers keep multiples of it.
        given_back: group and ratio at which it loses the least fewer channels than at its own of these, likewise in order.
    """

    groups: int
    pick: Callable[[float | Sequence[float]], Gone]
    between: Callable[[float, float], Sequence[int]]
    least: Callable[[Sequence[float]], Gone]
    channels: Sequence[Labels]
    round_to: int
    given_back: Callable[[Sequence[float]], Sequence[tuple[int, float]]]


def meet(analysis: Analysis, measure: str, budget: float, choices: Choices) -> Gone:
    """What goes so that ``measure`` of the rest is within the budget, and no more than needed.

    One ratio for all groups is found first. With scope "local" that may leave much unused, because several groups lose a
    channel (or as many as ``round_to`` says) at the same ratio; what there is room for is given back.

    Args:
        analysis: of the graph.
        measure: a key of ``MEASURES``.
        budget: a share of the graph's own cost up to 1.0, an amount above.
        choices: what may go.

    Raises:
        OverBudget: the budget is missed even with all removed that may go.
    """
    count = MEASURES[measure]
    before = count(analysis.graph)
    allowed = budget * before if budget <= 1.0 else budget

    def cost(gone: Gone) -> int:
        return count(shrink(analysis, gone, shapes_only=True))

    pick = choices.pick
    low, high = 0.0, HIGHEST
    if cost(none := pick(low)) <= allowed:
        return none
    best = pick(high)
    if cost(best) > allowed and (least := cost(best := smallest(analysis, measure, choices))) > allowed:
        raise OverBudget(
            f"pruning cannot bring {measure} from {before:,} to {allowed:,.0f}: {how_small(choices.round_to)} they are "
            f"{least:,}",
            where=f"prune of {analysis.graph.name}",
            hint=larger_budget(choices.round_to),
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        gone = pick(middle)
        if cost(gone) <= allowed:
            best, high = gone, middle
        else:
            low = middle
    return best if choices.groups < 2 else _filled(choices, low, high, best, cost, allowed)


def smallest(analysis: Analysis, measure: str, choices: Choices) -> Gone:
    """What goes at most: all but one channel of every group, or, rounded, the cheapest counts that were found.

    A layer's cost is a product of its counts, so what a channel costs depends on the others: it is taken where the last
    solution stands, as long as that makes the next one cheaper.
    """
    count = MEASURES[measure]
    best = choices.pick(HIGHEST)
    least = count(shrink(analysis, best, shapes_only=True))
    for _ in range(_REFINEMENTS if choices.round_to > 1 else 0):
        found = choices.least(_worth(analysis, measure, choices, best))
        cost = count(shrink(analysis, found, shapes_only=True))
        if cost >= least:
            break
        best, least = found, cost
    return best


def _worth(analysis: Analysis, measure: str, choices: Choices, gone: Gone) -> list[float]:
    """What one channel of each group adds to the cost, or takes from it where all are there."""
    count, here, found = MEASURES[measure], 0, []
    here = count(shrink(analysis, gone, shapes_only=True))
    for roots in choices.channels:
        lost = roots[gone[roots]]
        changed = gone.copy()
        changed[analysis.root == (lost[0] if len(lost) else roots[0])] = not len(lost)
        found.append(float(abs(count(shrink(analysis, changed, shapes_only=True)) - here)))
    return found


def how_small(round_to: int) -> str:
    """What the smallest network is like."""
    if round_to > 1:
        return f"with the fewest channels of which every layer keeps a multiple (round_to = {round_to})"
    return "with one channel left of every group that may lose some"


def larger_budget(round_to: int) -> str:
    """What to try where even the smallest network is over its budget."""
    smaller = "a smaller round_to, " if round_to > 1 else ""
    return f"a larger budget, {smaller}or another network; the record of a prune by ratio names what had to stay and why"


def _filled(choices: Choices, low: float, high: float, best: Gone, cost: Callable[[Gone], int], allowed: float) -> Gone:
    """Gives channels back while there is room: of many groups at once first, then group by group."""
    ratios = [high] * choices.groups
    order = choices.between(low, high)
    fits, misses = 0, len(order)
    while misses - fits > 1:
        half = (fits + misses) // 2
        back = set(order[:half])
        tried = [low if group in back else high for group in range(choices.groups)]
        if cost(gone := choices.pick(tried)) <= allowed:
            best, fits, ratios = gone, half, tried
        else:
            misses = half
    closed: set[int] = set()
    for _ in range(_TRIES):
        offers = [offer for offer in choices.given_back(ratios) if offer[0] not in closed]
        if not offers or cost(best) > allowed * (1 - _SLACK):
            break
        group, ratio = offers[0]
        tried = [*ratios[:group], ratio, *ratios[group + 1 :]]
        if cost(gone := choices.pick(tried)) <= allowed:
            best, ratios = gone, tried
        else:
            closed.add(group)
    return best
