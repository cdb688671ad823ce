"""The layered layout of a directed graph (Sugiyama, Tagawa and Toda 1981): which layer an item stands in, and in which order.

An edge that crosses layers runs through a *waypoint* in each; edges from one item share theirs, so that a value with many
readers is one trunk with branches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: Rounds of ordering; crossings rarely fall after the eighth.
_ROUNDS = 8


@dataclass
class Slot:
    """A place in a layer.

    Attributes:
        item: the number of an item, or of the edge's source for a waypoint.
        layer: counted from the top.
        waypoint: an edge passes here.
        passing: a waypoint of a value that is read nearer by as well: it passes by the network's spine, a skip. A waypoint of
            a value with one reader is as much part of a branch as its items are.
        above, below: what it is joined to in the layers beside its own.
        width, x: its size, and the place of its centre.
    """

    item: int
    layer: int
    waypoint: bool = False
    passing: bool = False
    above: list[Slot] = field(default_factory=list)
    below: list[Slot] = field(default_factory=list)
    width: float = 0.0
    x: float = 0.0


def layered(count: int, edges: Sequence[tuple[int, int]]) -> list[list[Slot]]:
    """Slots by layer, from top to bottom, each layer in an order with few crossings.

    Args:
        count: number of items, numbered so that every edge goes to a higher number.
        edges: (from, to).
    """
    layer = _layers(count, edges)
    rows: list[list[Slot]] = [[] for _ in range(max(layer, default=-1) + 1)]
    slots = [Slot(item, layer[item]) for item in range(count)]
    for slot in slots:
        rows[slot.layer].append(slot)
    trunks: dict[tuple[int, int], Slot] = {}
    distinct = list(dict.fromkeys(edges))
    readers = Counter(source for source, _ in distinct)
    for source, target in distinct:
        here = slots[source]
        for row in range(layer[source] + 1, layer[target]):
            if (source, row) not in trunks:
                trunks[source, row] = Slot(source, row, True, readers[source] > 1)
                rows[row].append(trunks[source, row])
                _join(here, trunks[source, row])
            here = trunks[source, row]
        _join(here, slots[target])
    return _ordered(rows)


def _join(upper: Slot, lower: Slot) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from the top; items that nothing leads to stand just above their first reader."""
    layer = [0] * count
    for source, target in sorted(edges):
        layer[target] = max(layer[target], layer[source] + 1)
    targets = {target for _, target in edges}
    readers: dict[int, int] = {}
    for source, target in edges:
        readers[source] = min(readers.get(source, layer[target]), layer[target])
    for item in range(count):
        if item not in targets and item in readers:
            layer[item] = readers[item] - 1
    return layer


def _ordered(rows: list[list[Slot]]) -> list[list[Slot]]:
    """Sweeps down and up, each layer sorted by the mean place of its neighbours; the order with the fewest crossings is
    kept.
    """
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for round_ in range(_ROUNDS):
        if fewest == 0:
            break
        downwards = round_ % 2 == 0
        for row in rows if downwards else reversed(rows):
            place = {id(slot): index for index, slot in enumerate(row)}
            means = {id(slot): _mean_place(rows, slot, downwards, place[id(slot)]) for slot in row}
            row.sort(key=lambda slot: (means[id(slot)], place[id(slot)]))
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _mean_place(rows: list[list[Slot]], slot: Slot, downwards: bool, own: int) -> float:
    neighbours = slot.above if downwards else slot.below
    if not neighbours:
        return float(own)
    row = rows[neighbours[0].layer]
    places = {id(other): index for index, other in enumerate(row)}
    return sum(places[id(other)] for other in neighbours) / len(neighbours)


def _crossings(rows: list[list[Slot]]) -> int:
    """Pairs of lines that cross between neighbouring layers."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {id(slot): index for index, slot in enumerate(lower)}
        ends = [place[id(target)] for slot in upper for target in sorted(slot.below, key=lambda s: place[id(s)])]
        for index, end in enumerate(ends):
            total += sum(earlier > end for earlier in ends[:index])
    return total
