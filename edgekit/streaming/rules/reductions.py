"""Reductions and norms: over features in every step, over time on the window that is kept."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.ir import Node, ops
from edgekit.streaming.frames import Frames
from edgekit.streaming.rules.table import non_negative, only, refuse, stepwise, streams, whole
from edgekit.streaming.timed import Timed


@streams(ops.Mean, ops.Sum, ops.Amax, ops.Amin)
def reduce(frames: Frames, node: Node, op: ops.Mean, xs: Sequence[Timed | None]) -> list[Timed]:
    """Over time: of the steps of one window, in their order, so that the result is the same in every bit."""
    x = only(xs)
    assert x.axis is not None
    rank = x.value.type.rank
    axes = {non_negative(axis, rank) for axis in op.axes} or set(range(rank))
    if x.axis in axes:
        return whole(frames, node, op, xs)
    return stepwise(frames, x, op, axis=x.axis if op.keepdim else x.axis - sum(axis < x.axis for axis in axes))


@streams(ops.Softmax, ops.LogSoftmax)
def softmax(frames: Frames, node: Node, op: ops.Softmax, xs: Sequence[Timed | None]) -> list[Timed]:
    """Over time: weights of the steps of a window."""
    x = only(xs)
    if non_negative(op.axis, x.value.type.rank) == x.axis:
        return whole(frames, node, op, xs)
    return stepwise(frames, x, op)


@streams(ops.Argmax)
def argmax(frames: Frames, node: Node, op: ops.Argmax, xs: Sequence[Timed | None]) -> list[Timed]:
    """Over time: a place in the window."""
    x = only(xs)
    assert x.axis is not None
    axis = non_negative(op.axis, x.value.type.rank)
    if axis == x.axis:
        return whole(frames, node, op, xs)
    return stepwise(frames, x, op, axis=x.axis if op.keepdim or axis > x.axis else x.axis - 1)


@streams(ops.Cumsum)
def cumsum(frames: Frames, node: Node, op: ops.Cumsum, xs: Sequence[Timed | None]) -> list[Timed]:
    """Over features alone: a sum over all time grows without end."""
    if non_negative(op.axis, only(xs).value.type.rank) == only(xs).axis:
        raise refuse("sums up all time since the start", "a mean over a window, or a recurrent layer")
    return stepwise(frames, only(xs), op)


@streams(ops.LayerNorm, ops.RmsNorm)
def layer_norm(frames: Frames, node: Node, op: ops.LayerNorm, xs: Sequence[Timed | None]) -> list[Timed]:
    """Over features of each step."""
    x = only(xs)
    assert x.axis is not None
    if x.axis >= x.value.type.rank - op.axes:
        raise refuse(f"'{op.name}' normalises over the whole window", "normalise over features alone, or use a batch norm")
    return stepwise(frames, x, op, xs[1:])


@streams(ops.GroupNorm, ops.InstanceNorm)
def norm_over_positions(frames: Frames, node: Node, op: ops.GroupNorm, xs: Sequence[Timed | None]) -> list[Timed]:
    """Statistics of all positions need the window's end."""
    raise refuse(f"'{op.name}' normalises over the whole window", "a batch norm, or a layer norm over features alone")
