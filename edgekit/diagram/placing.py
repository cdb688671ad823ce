"""Horizontal places in a layered layout: lines as straight as the widths of the items allow.

Each layer in turn is moved as near as possible to its neighbours: the weighted least squares problem with a least distance
between neighbours in the layer, which pool-adjacent-violators solves exactly (Best and Chakravarti 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgekit.diagram.layers import Slot

_SWEEPS = 24
#: How hard an item resists being moved aside by a line that passes it.
_ITEM_MASS, _TRUNK_MASS = 1e4, 1.0


def place(rows: Sequence[Sequence[Slot]], gap: float) -> None:
    """Sets ``x`` of every slot: no two in a layer nearer than ``gap``, the leftmost edge at 0."""
    for row in rows:
        x = 0.0
        for slot in row:
            slot.x = x + slot.width / 2
            x += slot.width + gap
        for slot in row:
            slot.x -= (x - gap) / 2
    for sweep in range(_SWEEPS):  # the last one goes down, so that every spine hangs straight from its head
        downwards = sweep % 2 == 1
        for row in rows if downwards else reversed(rows):
            _align(row, gap, downwards)
    for row in rows:
        for slot in row:
            if slot.waypoint and not any(other.waypoint for other in slot.above):
                _straighten(slot, rows, gap)
    left = min((slot.x - slot.width / 2 for row in rows for slot in row), default=0.0)
    for row in rows:
        for slot in row:
            slot.x -= left


def _align(row: Sequence[Slot], gap: float, downwards: bool) -> None:
    wishes = [_wish(slot, slot.above if downwards else slot.below) for slot in row]
    weights = [_TRUNK_MASS if slot.passing else _ITEM_MASS for slot in row]
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + gap)
    for slot, x, offset in zip(
        row, _isotonic([w - o for w, o in zip(wishes, offsets, strict=True)], weights), offsets, strict=True
    ):
        slot.x = x + offset


def _straighten(head: Slot, rows: Sequence[Sequence[Slot]], gap: float) -> None:
    """Gives all waypoints of one trunk the same place, if its neighbours leave one."""
    row_of = {id(slot): row for row in rows for slot in row}
    trunk = [head]
    while following := [slot for slot in trunk[-1].below if slot.waypoint and id(slot) in row_of]:
        trunk.append(following[0])
    low, high = float("-inf"), float("inf")
    for slot in trunk:
        row = row_of[id(slot)]
        index = next(i for i, other in enumerate(row) if other is slot)
        if index > 0:
            low = max(low, row[index - 1].x + (row[index - 1].width + slot.width) / 2 + gap)
        if index + 1 < len(row):
            high = min(high, row[index + 1].x - (row[index + 1].width + slot.width) / 2 - gap)
    if low <= high:
        x = min(max(sum(slot.x for slot in trunk) / len(trunk), low), high)
        for slot in trunk:
            slot.x = x


def _wish(slot: Slot, neighbours: Sequence[Slot]) -> float:
    """Branches line up with branches, skips with skips: the network's spine and what passes it are both straight."""
    alike = [other.x for other in neighbours if other.passing == slot.passing] or [other.x for other in neighbours]
    return sum(alike) / len(alike) if alike else slot.x


def _isotonic(wishes: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest to ``wishes`` in weighted least squares."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for wish, weight in zip(wishes, weights, strict=True):
        block = (wish, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, mass, length = blocks.pop()
            total = mass + block[1]
            block = ((mean * mass + block[0] * block[1]) / total, total, length + block[2])
        blocks.append(block)
    return [mean for mean, _, length in blocks for _ in range(length)]
