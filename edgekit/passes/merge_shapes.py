"""Cancel and merge neighbouring ops that only move elements."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import PassRecord, Rewrite, Skip, succeed


def permute_as_reshape(shape: tuple[object, ...], dims: tuple[int, ...]) -> bool:
    """Permuting only moves dimensions of size 1, so the elements stay in order."""
    order = [d for d in dims if shape[d] != 1]
    return order == sorted(order)


@dataclass(frozen=True)
class MergeShapes(Rewrite):
    """Merge a reshape with the one before it, a permute likewise, and write permutes that move nothing as reshapes.

    Given::   %y = permute(%x, dims=(0, 2, 1))
              %z = permute(%y, dims=(0, 2, 1))
    Result::  %x takes the place of %z

    Given::   %y = reshape(%x, shape=(N, 64))
              %z = reshape(%y, shape=(N, 8, 8))
    Result::  %z = reshape(%x, shape=(N, 8, 8))
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Reshape | ops.Permute) and node.output.quant == node.input(0).quant

    def rewrite(self, graph: Graph, node: Node) -> None:
        x = node.input(0)
        if (
            isinstance(node.op, ops.Permute)
            and permute_as_reshape(x.shape, node.op.dims)
            and node.op.dims != tuple(range(x.type.rank))
        ):
            succeed(graph, node.output, graph.add(ops.Reshape(node.output.shape), x, where=node.where, before=node))
            return
        before = x.producer
        if before is None or type(before.op) is not type(node.op) or before.output.quant != before.input(0).quant:
            raise Skip("nothing to merge with")
        source = before.input(0)
        if isinstance(node.op, ops.Reshape):
            if node.output.type == source.type and not _both_are_named(graph, node.output, source):
                graph.replace(node.output, source)
                return
            merged: ops.Op = ops.Reshape(node.op.shape)
        else:
            assert isinstance(before.op, ops.Permute) and isinstance(node.op, ops.Permute)
            dims = tuple(before.op.dims[d] for d in node.op.dims)
            if dims == tuple(range(len(dims))) and not _both_are_named(graph, node.output, source):
                graph.replace(node.output, source)
                return
            merged = ops.Permute(dims)
        succeed(graph, node.output, graph.add(merged, source, where=node.where, before=node))

    def apply(self, graph: Graph) -> PassRecord:
        """Until nothing changes: a merged op may be a neighbour again. "Nothing to merge with" is no news."""
        total = 0
        while rewrites := super().apply(graph).rewrites:
            total += rewrites
        return PassRecord(self.name, total)


def _both_are_named(graph: Graph, output: Value, source: Value) -> bool:
    """Neither may lose its name to the other: an output of the graph, and an input, a constant or another output."""
    return graph.is_output(output) and (source.producer is None or graph.is_output(source))
