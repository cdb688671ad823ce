"""Take out what does nothing, and what is already known."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.ops.base import as_tuple
from edgekit.passes.base import Pass, PassRecord, Rewrite, Skip, succeed

#: A constant that folding would make larger than this many elements, and larger than its inputs, stays computed.
_FOLD_LIMIT = 4096


@dataclass(frozen=True)
class EliminateIdentity(Rewrite):
    """Take out ops that return their input: dropout at inference, casts to the same type, pads of nothing, full slices.

    Given::   %y = dropout(%x)
              %z = relu(%y)
    Result::  %z = relu(%x)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        x, y = node.inputs[0], node.output
        if x is None or len(node.outputs) != 1 or x.type != y.type or x.quant != y.quant:
            return False
        op = node.op
        return (
            isinstance(op, ops.Dropout | ops.Identity | ops.Cast | ops.Reshape | ops.Expand | ops.Slice | ops.Split)
            or (isinstance(op, ops.Permute) and op.dims == tuple(range(x.type.rank)))
            or (isinstance(op, ops.Pad) and not any(any(pair) for pair in op.pads))
            or (isinstance(op, ops.Tile) and set(op.repeats) == {1})
            or (isinstance(op, ops.Concat) and len(node.inputs) == 1)
            or (isinstance(op, ops.Mean | ops.Sum | ops.Amax | ops.Amin) and not op.axes)
            or (isinstance(op, ops.Resize) and not op.align_corners and op.scales in (None, (1.0,) * len(op.size)))
        )

    def rewrite(self, graph: Graph, node: Node) -> None:
        x = node.input(0)
        if graph.is_output(node.output) and (x.producer is None or graph.is_output(x)):
            raise Skip("it is what makes an input or another output an output")
        graph.replace(node.output, x)

    def apply(self, graph: Graph) -> PassRecord:
        return PassRecord(self.name, super().apply(graph).rewrites)


@dataclass(frozen=True)
class EliminateEmptyParts(Rewrite):
    """Leave out of a concatenation what has no elements.

    Given::   %y = concat(%x, %empty, axis=2)
    Result::  %y = concat(%x, axis=2)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Concat) and any(_is_empty(v) for v in node.inputs) and not _is_empty(node.output)

    def rewrite(self, graph: Graph, node: Node) -> None:
        parts = [v for v in node.inputs if not _is_empty(v)]
        if any(v is None or v.type.dtype != node.output.type.dtype for v in parts):
            raise Skip("it changes the type of its parts")
        succeed(graph, node.output, graph.add(node.op, *parts, before=node, where=node.where))


@dataclass(frozen=True)
class EliminateEmptySplits(Rewrite):
    """Leave out of a split what has no elements and no reader (the rest of a rotary embedding that turns all features).

    Given::   %a, %empty = split(%x, axis=2, sizes=(8, 0))
    Result::  %a = split(%x, axis=2, sizes=(8,))
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Split) and 0 in node.op.sizes and any(node.op.sizes)

    def rewrite(self, graph: Graph, node: Node) -> None:
        assert isinstance(node.op, ops.Split)
        if any(graph.readers(v) for v in node.outputs if _is_empty(v)):
            raise Skip("a part without elements is read")
        rest = node.op.with_(sizes=tuple(size for size in node.op.sizes if size))
        parts = graph.add_node(rest, node.inputs, before=node, where=node.where).outputs
        for old, new in zip([v for v in node.outputs if not _is_empty(v)], parts, strict=True):
            succeed(graph, old, new)


def _is_empty(value: Value | None) -> bool:
    return value is not None and 0 in value.shape


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Compute at build time what depends on constants alone.

    Given::   %y = reshape(@c, shape=(1, 4))
              %z = add(%x, %y)
    Result::  %z = add(%x, @y)
    """

    def apply(self, graph: Graph) -> PassRecord:
        rewrites = 0
        for node in list(graph.nodes):
            values = [v for v in node.inputs if v is not None]
            if any(not v.is_constant or v.quant is not None for v in values) or any(v.quant is not None for v in node.outputs):
                continue
            if any(v.type.has_batch for v in node.outputs) or node.op.at(1) is not node.op:
                continue
            before = sum(v.type.numel() for v in values)
            if sum(v.type.numel() for v in node.outputs) > max(before, _FOLD_LIMIT):
                continue
            with torch.no_grad():
                results = as_tuple(node.op.run(*[None if v is None else v.tensor.detach() for v in node.inputs]))
            for output, data in zip(node.outputs, results, strict=True):
                graph.replace(output, graph.constant(data.clone().contiguous(), output.name))
            rewrites += 1
        if rewrites:
            graph.eliminate_dead()
        return PassRecord(self.name, rewrites)


@dataclass(frozen=True)
class EliminateDead(Pass):
    """Take out nodes that no output depends on, and parameters and buffers that no node reads."""

    def apply(self, graph: Graph) -> PassRecord:
        removed = graph.eliminate_dead()
        read = {id(v) for node in graph.nodes for v in node.inputs} | {id(v) for v in graph.outputs}
        dead = [name for name, value in graph.state.items() if id(value) not in read]
        for name in dead:
            del graph.state[name]
            graph.transient.discard(name)
        return PassRecord(self.name, removed + len(dead))


@dataclass(frozen=True)
class EliminateDuplicates(Pass):
    """Compute once what is computed twice: nodes with equal op and equal inputs become one.

    Given::   %a = permute(%x, dims=(0, 2, 1))
              %b = permute(%x, dims=(0, 2, 1))
    Result::  %a = permute(%x, dims=(0, 2, 1))                       # read by everything that read %b
    """

    def apply(self, graph: Graph) -> PassRecord:
        seen: dict[tuple[object, ...], Node] = {}
        rewrites = 0
        for node in list(graph.nodes):
            if node.op.acts_in_training or any(graph.is_output(v) for v in node.outputs):
                continue
            key = (node.op, *[id(v) for v in node.inputs], *[v.quant for v in node.outputs])
            first = seen.setdefault(key, node)
            if first is node:
                continue
            for output, kept in zip(node.outputs, first.outputs, strict=True):
                name = kept.name
                graph.replace(output, kept)
                output.name, kept.name = kept.name if kept.name != name else output.name, name
            graph.remove(node)
            rewrites += 1
        return PassRecord(self.name, rewrites)
