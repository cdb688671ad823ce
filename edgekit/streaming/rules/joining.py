"""Concatenation, splitting and tables."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.ir import Node, ops
from edgekit.streaming.frames import Frames
from edgekit.streaming.rules.movement import last_of
from edgekit.streaming.rules.table import only, refuse, stepwise, streams, whole
from edgekit.streaming.timed import Timed


@streams(ops.Concat)
def concat(frames: Frames, node: Node, op: ops.Concat, xs: Sequence[Timed | None]) -> list[Timed]:
    """Channels side by side, brought to one moment; zeros in front of a stream are padding."""
    given = [x for x in xs if x is not None]
    found = [x for x in given if x.is_stream]
    if any(x.ready for x in given):
        return whole(frames, node, op, xs)
    axes = {x.axis for x in found}
    if len(axes) > 1:
        raise refuse("joins streams along different axes")
    if op.axis in axes:
        return [_zeros_before(given, node)]
    if len(found) < len(given):
        raise refuse("joins a constant for each position in the window to a stream", "use no absolute positions in time")
    meeting = frames.aligned(found)
    made = frames.clone(op, [x.value for x in meeting])
    warm, sure = max(x.warm for x in meeting), min(x.sure for x in meeting)
    return [meeting[0].moved(value=made.output, warm=warm, sure=sure)]


def _zeros_before(given: list[Timed], node: Node) -> Timed:
    """A stream with constant zeros in front: its own history before the start."""
    *before, x = given
    zeros = all(b.value.is_constant and not bool(b.value.tensor.any()) for b in before)
    if not x.is_stream or not zeros or x.offset > 0 or x.warm:
        raise refuse("joins time steps of several values")
    assert x.axis is not None
    count = sum(int(b.value.shape[x.axis]) for b in before)
    return x.moved(offset=x.offset - count, length=x.length + count, sure=x.sure + count)


@streams(ops.Split)
def split(frames: Frames, node: Node, op: ops.Split, xs: Sequence[Timed | None]) -> list[Timed]:
    """Parts of every step."""
    if op.axis == only(xs).axis:
        raise refuse("splits a window into parts of its time")
    return stepwise(frames, only(xs), op)


@streams(ops.Gather)
def gather(frames: Frames, node: Node, op: ops.Gather, xs: Sequence[Timed | None]) -> list[Timed]:
    """Rows of a table for each step, chosen elements of each step, or one step of the window."""
    x, index = xs
    assert x is not None and index is not None
    if not x.is_stream:
        if x.ready or index.axis is None:
            raise refuse("looks up time steps of a window")
        index = frames.begun(index)
        made = frames.clone(op, [x.value, index.value])
        assert index.axis is not None
        return [index.moved(value=made.output, axis=op.axis + index.axis)]
    if index.is_stream or index.ready:
        raise refuse("looks up time steps of a window")
    assert x.axis is not None
    if op.axis == x.axis:
        if index.value.type.numel() != 1:
            raise refuse("gathers several time steps of a window")
        last = last_of(frames, x, int(index.value.tensor.reshape(-1)[0]))
        zero = frames.graph.constant(index.value.tensor * 0, "first")
        made = frames.clone(op, [last.value, zero])
        return [last.moved(value=made.output)]
    axis = x.axis if op.axis > x.axis else x.axis + index.value.type.rank - 1
    return stepwise(frames, x, op, [index], axis)
