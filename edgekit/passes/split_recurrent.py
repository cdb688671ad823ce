"""Stacks of LSTM layers as single ones, whose values can each have parameters of their own."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Rewrite, require_unquantized


@dataclass(frozen=True)
class SplitLstm(Rewrite):
    """Write an LSTM of several layers or directions as one node for each; one that is given initial states stays.

    Given::   %y, %h, %c = lstm(%x, none, none, ..., layers=2)
    Result::  %y1, %h1, %c1 = lstm(%x, none, none, @w_ih_l0, ...)
              %y, %h2, %c2 = lstm(%y1, none, none, @w_ih_l1, ...)      # %h = concat(%h1, %h2)

    A backward direction is a forward one between two flips in time.
    """

    def match(self, graph: Graph, node: Node) -> bool:
        several = isinstance(node.op, ops.Lstm) and (node.op.layers > 1 or node.op.bidirectional)
        return several and node.inputs[1] is None and node.inputs[2] is None

    def rewrite(self, graph: Graph, node: Node) -> None:
        op = node.op
        assert isinstance(op, ops.Lstm)
        require_unquantized(*node.outputs)
        each = 4 if op.bias else 2
        weights = node.inputs[3:]
        single = op.with_(layers=1, bidirectional=False, dropout=0.0)
        time = 1 if op.batch_first else 0

        def add(kind: ops.Op, *inputs: Value) -> Value:
            return graph.add(kind, *inputs, where=node.where, before=node)

        y = node.input(0)
        finals: tuple[list[Value], list[Value]] = ([], [])
        for layer in range(op.layers):
            sequences = []
            for direction in range(op.directions):
                place = (layer * op.directions + direction) * each
                x = add(ops.Flip((time,)), y) if direction else y
                inputs = (x, None, None, *weights[place : place + each])
                made = graph.add_node(single, inputs, name=node.name, where=node.where, before=node)
                sequences.append(add(ops.Flip((time,)), made.output) if direction else made.output)
                for kept, state in zip(finals, made.outputs[1:], strict=True):
                    kept.append(state)
            y = add(ops.Concat(2), *sequences) if len(sequences) > 1 else sequences[0]
        graph.replace(node.outputs[0], y)
        for output, states in zip(node.outputs[1:], finals, strict=True):
            if graph.readers(output):
                graph.replace(output, add(ops.Concat(0), *states))
