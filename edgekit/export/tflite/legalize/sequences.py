"""Sequences of which only the end is read."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.ir import Node, Value, ops


@dataclass(frozen=True)
class LastStepOfSequence(Lowering):
    """The last step of a GRU's or RNN's sequence is its final state, and a loop that keeps no sequence is twice as fast.

    Given::   %y, %h = gru(%x: [N, T, I], ...)
              %z = slice(%y, the last step)
    Result::  %z = reshape(the last layer of %h, [N, 1, H])
    """

    kind = ops.Slice

    def lower(self, build: Build, node: Node, op: ops.Slice) -> Value:
        """One direction only: the backward one ends at the first step."""
        y = node.input(0)
        layer = y.producer
        if layer is None or not isinstance(layer.op, ops.Gru | ops.Rnn) or layer.op.bidirectional or layer.output is not y:
            raise Skip("not a sequence of a GRU or RNN")
        axis = 1 if layer.op.batch_first else 0
        steps = y.type.shape[axis]
        starts = [0, 0, 0]
        starts[axis] = steps - 1 if isinstance(steps, int) else 0
        if (op.starts, op.stops, op.steps) != (tuple(starts), y.type.shape, (1, 1, 1)):
            raise Skip("not the last step")
        h = layer.outputs[1]
        last = layer.op.layers - 1
        if last:
            stops = (last + 1, *h.type.shape[1:])
            h = build(ops.Slice((last, 0, 0), stops, (1, 1, 1)), h)
        return build(ops.Reshape(node.output.type.shape), h)
