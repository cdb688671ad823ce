"""Compute only those positions of a convolution that are read."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import Rewrite, Skip, require_unquantized, sole_producer


@dataclass(frozen=True)
class TrimConvolution(Rewrite):
    """Take padding away from a convolution instead of the positions that it made.

    A causal convolution is often written as one that is padded on both sides, of which the last positions are cut off
    (Bai et al. 2018, arXiv:1803.01271).

    Given::   %c = conv1d(%x: [N, C, 128], @w: [O, C, 3], padding=((2, 2),))
              %y = slice(%c: [N, O, 130], stops=(N, O, 128))
    Result::  %y = conv1d(%x, @w, padding=((2, 0),))

    Each position less at one end is ``stride`` elements of padding less there.
    """

    def match(self, graph: Graph, node: Node) -> bool:
        producer = node.input(0).producer if isinstance(node.op, ops.Slice) else None
        return producer is not None and isinstance(producer.op, ops.Conv1d | ops.Conv2d)

    def rewrite(self, graph: Graph, node: Node) -> None:
        convolution, cut = sole_producer(graph, node, ops.Conv1d, ops.Conv2d), node.op
        assert isinstance(cut, ops.Slice) and convolution is not None
        assert isinstance(convolution.op, ops.Conv1d | ops.Conv2d)
        require_unquantized(node.output)
        shape = convolution.output.type.shape
        if set(cut.steps) != {1}:
            raise Skip("it takes positions in steps")
        if any(cut.starts[:2]) or cut.stops[0] != shape[0] or cut.stops[1] != shape[1]:
            raise Skip("it cuts the batch or the channels")
        padding = []
        rows = zip(cut.starts[2:], cut.stops[2:], shape[2:], convolution.op.stride, convolution.op.padding, strict=True)
        for start, stop, size, stride, (low, high) in rows:
            if not isinstance(stop, int) or not isinstance(size, int):
                raise Skip("it cuts a dimension that depends on the batch")
            padding.append((low - start * stride, high - (size - min(stop, size)) * stride))
        if any(side < 0 for pair in padding for side in pair):
            raise Skip("it cuts off more than padding gave")
        trimmed = graph.add(
            convolution.op.with_(padding=tuple(padding)),
            *convolution.inputs,
            name=node.name,
            where=tuple(dict.fromkeys((*convolution.where, *node.where))),
            before=node,
        )
        graph.replace(node.output, trimmed)
