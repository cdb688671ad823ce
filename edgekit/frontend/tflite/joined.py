"""Sequences that a loop builds up step by step: each step's part is put into what is there, which is taken apart for it.

Of a loop that is written out only the parts remain, joined once.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.frontend.tflite.context import Lowering
from edgekit.ir import Value, ops


def parts_of(value: Value, axis: int) -> list[Value]:
    """What was joined along an axis to give a value; the value itself where nothing was."""
    node = value.producer
    if node is None or not isinstance(node.op, ops.Concat) or node.op.axis != axis or value.quant is not None:
        return [value]
    return [part for x in node.inputs if x is not None for part in parts_of(x, axis)]


def flat(values: Sequence[Value], axis: int) -> list[Value]:
    """The parts of all values, in order."""
    return [part for value in values for part in parts_of(value, axis)]


def between(ctx: Lowering, value: Value, axis: int, start: int, stop: int) -> Value:
    """``start:stop`` along an axis of a value, of its own parts where it was joined."""
    taken, place = [], 0
    for part in parts_of(value, axis):
        size = part.shape[axis]
        assert isinstance(size, int)
        low, high = max(start - place, 0), min(stop - place, size)
        if low < high:
            taken.append(ctx.slice(part, axis, low, high))
        place += size
    return taken[0] if len(taken) == 1 else ctx.add(ops.Concat(axis), *taken)
