"""Recurrent layers: their states go from call to call."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.ir import Node, ops
from edgekit.streaming.frames import Frames
from edgekit.streaming.rules.table import only, refuse, streams
from edgekit.streaming.timed import Timed


@streams(ops.Lstm, ops.Gru, ops.Rnn)
def recurrent(frames: Frames, node: Node, op: ops.Lstm, xs: Sequence[Timed | None]) -> list[Timed]:
    """The steps of a call, from the states that the last call left."""
    x = frames.begun(only(xs))
    if op.bidirectional:
        raise refuse(f"a bidirectional '{op.name}' reads the window from its end", "bidirectional=False")
    if x.axis != (1 if op.batch_first else 0):
        raise refuse(f"'{op.name}' steps over another axis than time", "say which axis is time")
    if any(state is not None for state in xs[1 : 1 + op.STATES]):
        raise refuse(f"'{op.name}' is given initial states", "leave them out: a stream begins with zeros and goes on by itself")
    if x.offset > 0 or x.warm:
        raise refuse(
            f"'{op.name}' would begin {max(x.offset, x.warm)} steps before the first that the model on windows gives it",
            "pad the convolutions before it on the left: F.pad(x, (kernel - 1, 0))",
        )
    states = [frames.take(value.type, value.quant, value.name) for value in node.outputs[1:]]
    weights = [None if w is None else w.value for w in xs[1 + op.STATES :]]
    made = frames.clone(op, [x.value, *states, *weights])
    for taken, given in zip(states, made.outputs[1:], strict=True):
        frames.give(taken, given)
    steps = frames.steps(x)
    ready, rest = divmod(x.length, steps)
    sequence, *finals = made.outputs
    if rest and any(frames.offline.readers(value) for value in node.outputs[1:]):
        raise refuse(
            f"reads the states after {x.length} steps, which is never the end of a call of {steps}", "another hop, or window"
        )
    return [x.moved(value=sequence), *(Timed(value, ready=ready) for value in finals)]
