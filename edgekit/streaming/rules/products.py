"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.ir import Node, ops
from edgekit.streaming.frames import Frames
from edgekit.streaming.rules.table import only, refuse, stepwise, streams, whole
from edgekit.streaming.timed import Timed


@streams(ops.Linear)
def linear(frames: Frames, node: Node, op: ops.Linear, xs: Sequence[Timed | None]) -> list[Timed]:
    """Each step on its own; a layer over time itself reads the whole window."""
    x = only(xs)
    if x.axis == x.value.type.rank - 1:
        return whole(frames, node, op, xs)
    return stepwise(frames, x, op, xs[1:])


@streams(ops.Matmul)
def matmul(frames: Frames, node: Node, op: ops.Matmul, xs: Sequence[Timed | None]) -> list[Timed]:
    """With a constant, as a linear layer; a product of two values of the window reads it whole."""
    a, b = xs
    assert a is not None and b is not None
    rank = a.value.type.rank
    if a.is_stream and not b.is_stream and not b.ready and rank >= b.value.type.rank and rank >= 2:
        return whole(frames, node, op, xs) if a.axis == rank - 1 else stepwise(frames, a, op, [b])
    if a.is_stream and b.is_stream and _contracts_time(op, a, b):
        return whole(frames, node, op, xs)
    if not (a.is_stream and b.is_stream) and (a.ready or b.ready):
        return whole(frames, node, op, xs)
    raise refuse("multiplies every time step with every other", "attention over a window has no stream; use a causal layer")


def _contracts_time(op: ops.Matmul, a: Timed, b: Timed) -> bool:
    """Whether the sum of the product runs over time, as in pooling by attention."""
    inner = b.value.type.rank - (1 if op.transpose_b else 2)
    return a.axis == a.value.type.rank - 1 and b.axis == inner
