"""Ops on single elements, of one value or of several."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.ir import Node, ops
from edgekit.streaming.frames import Frames
from edgekit.streaming.rules.table import only, refuse, stepwise, streams, whole
from edgekit.streaming.timed import Timed

#: One value in, one out, element by element.
_UNARY = (
    *(
        ops.Abs,
        ops.BinarySign,
        ops.Cast,
        ops.Ceil,
        ops.Clamp,
        ops.Cos,
        ops.Dropout,
        ops.Elu,
        ops.Erf,
        ops.Exp,
        ops.FakeQuantize,
    ),
    *(
        ops.Floor,
        ops.Gelu,
        ops.Hardshrink,
        ops.Hardsigmoid,
        ops.Hardswish,
        ops.Identity,
        ops.LeakyRelu,
        ops.Log,
        ops.LogicalNot,
    ),
    *(ops.Mish, ops.Neg, ops.Relu, ops.Relu6, ops.Round, ops.Rsqrt, ops.Sigmoid, ops.Sign, ops.Silu, ops.Sin, ops.Softplus),
    *(ops.Softshrink, ops.Softsign, ops.Sqrt, ops.Square, ops.Tanh, ops.Threshold),
)

#: Several values that broadcast against each other.
_BROADCASTING = (
    *(ops.Add, ops.Div, ops.Equal, ops.FloorDiv, ops.Greater, ops.GreaterEqual, ops.Less, ops.LessEqual, ops.LogicalAnd),
    *(ops.LogicalOr, ops.Maximum, ops.Minimum, ops.Mul, ops.NotEqual, ops.Pow, ops.Remainder, ops.SquaredDifference, ops.Sub),
    ops.Where,
)


@streams(*_UNARY)
def unary(frames: Frames, node: Node, op: ops.Op, xs: Sequence[Timed | None]) -> list[Timed]:
    """Each step on its own."""
    return stepwise(frames, only(xs), op, xs[1:])


@streams(ops.BatchNorm, ops.Prelu)
def per_channel(frames: Frames, node: Node, op: ops.Op, xs: Sequence[Timed | None]) -> list[Timed]:
    """Parameters along axis 1, which may not be time."""
    if only(xs).axis == 1:
        raise refuse(f"'{op.name}' has parameters for each time step", "put the channels, not time, on axis 1")
    return stepwise(frames, only(xs), op, xs[1:])


@streams(*_BROADCASTING)
def broadcasting(frames: Frames, node: Node, op: ops.Op, xs: Sequence[Timed | None]) -> list[Timed]:
    """Streams are brought to one moment. Where a snapshot of the window meets a stream, each of its steps is combined with
    each of the window's.
    """
    given = [x for x in xs if x is not None]
    found = [x for x in given if x.is_stream]
    if any(x.ready for x in given):
        return whole(frames, node, op, xs)
    rank = max(x.value.type.rank for x in given)
    from_end = {x.axis - x.value.type.rank for x in found if x.axis is not None}
    if len(from_end) > 1:
        raise refuse(f"'{op.name}' pairs every time step with every other")
    (place,) = from_end
    for x in given:
        if not x.is_stream and x.value.type.rank >= -place and x.value.shape[place] != 1:
            raise refuse(f"'{op.name}' has a constant for each position in the window", "use no absolute positions in time")
    meeting = iter(frames.aligned(found))
    joined = [x if x is None or not x.is_stream else next(meeting) for x in xs]
    streams_in = [x for x in joined if x is not None and x.is_stream]
    made = frames.clone(op, [None if x is None else x.value for x in joined])
    first = streams_in[0]
    return [
        first.moved(
            value=made.output,
            axis=rank + place,
            length=max(x.length for x in streams_in),
            warm=max(x.warm for x in streams_in),
            sure=min(x.sure for x in streams_in),
        )
    ]
