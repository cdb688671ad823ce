"""Pools in the form that is cheapest and most exact."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import PassRecord, Rewrite, Skip, require_unquantized, succeed


@dataclass(frozen=True)
class GlobalPoolToMean(Rewrite):
    """Write an average pool whose one window covers everything as a mean over the spatial dimensions.

    An integer mean may have a scale of its own, an integer average pool may not: the mean keeps more of a range that
    averaging shrinks.

    Given::   %y = avg_pool2d(%x: [N, C, 8, 8], kernel=(8, 8), stride=(8, 8))
    Result::  %y = mean(%x, axes=(2, 3), keepdim=True)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.AvgPool1d | ops.AvgPool2d)

    def rewrite(self, graph: Graph, node: Node) -> None:
        op, x = node.op, node.input(0)
        assert isinstance(op, ops.AvgPool1d | ops.AvgPool2d)
        if op.kernel != x.shape[2:] or any(op.padding) or op.divisor is not None:
            raise Skip("the window does not cover the whole input")
        axes = tuple(range(2, x.type.rank))
        succeed(graph, node.output, graph.add(ops.Mean(axes, keepdim=True), x, where=node.where, before=node))

    def apply(self, graph: Graph) -> PassRecord:
        return PassRecord(self.name, super().apply(graph).rewrites)


@dataclass(frozen=True)
class MergeMeanReshape(Rewrite):
    """Let a mean drop its dimensions itself where a reshape does it afterwards.

    Given::   %y = mean(%x, axes=(2, 3), keepdim=True)
              %z = reshape(%y, shape=(N, C))
    Result::  %z = mean(%x, axes=(2, 3))
    """

    def match(self, graph: Graph, node: Node) -> bool:
        producer = node.input(0).producer if isinstance(node.op, ops.Reshape) else None
        return producer is not None and isinstance(producer.op, ops.Mean) and producer.op.keepdim

    def rewrite(self, graph: Graph, node: Node) -> None:
        mean = node.input(0).producer
        assert mean is not None and isinstance(mean.op, ops.Mean)
        if graph.readers(mean.output) > 1:
            raise Skip(f"%{mean.name} has {graph.readers(mean.output)} readers")
        shape = tuple(d for i, d in enumerate(mean.output.shape) if i not in mean.op.axes)
        if shape != node.output.shape:
            raise Skip("the reshape does more than drop the averaged dimensions")
        if mean.output.quant != node.output.quant:
            require_unquantized(mean.output)
            raise Skip(f"%{node.name} is quantised")
        succeed(graph, node.output, graph.add(ops.Mean(mean.op.axes), mean.input(0), where=mean.where, before=node))
