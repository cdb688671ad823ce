"""Signs, and norms before them, before the pool that they stand behind: next to the layer that they can be part of."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Rewrite, Skip, sole_producer, succeed
from edgekit.passes.fold_batch_norm import channel_affine

_POOLS = (ops.MaxPool1d, ops.MaxPool2d, ops.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class NormBeforePool(Rewrite):
    """Normalise before a max pool what is normalised behind it, where no channel's scale is negative.

    Given::   %p = max_pool2d(%x)
              %y = batch_norm(%p, @gamma, @beta, @mean, @var)
    Result::  %n = batch_norm(%x, @gamma, @beta, @mean, @var)
              %y = max_pool2d(%n)                              # a growing function keeps the largest the largest
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.BatchNorm) and _is_pooled(node)

    def rewrite(self, graph: Graph, node: Node) -> None:
        pool = sole_producer(graph, node, *_POOLS)
        assert pool is not None
        before = pool.input(0).producer
        if before is None or not isinstance(before.op, _FOLDING) or graph.readers(pool.input(0)) > 1:
            raise Skip("no layer that it could be folded into stands before the pool")
        scale, _ = channel_affine(node)
        if bool((scale < 0).any()):
            raise Skip("a channel's scale is negative: its largest element becomes its smallest")
        _exchange(graph, node, pool)


@dataclass(frozen=True)
class SignBeforePool(Rewrite):
    """Take signs before a max pool instead of behind it.

    Given::   %p = max_pool2d(%x)
              %y = binary_sign(%p)
    Result::  %s = binary_sign(%x)
              %y = max_pool2d(%s)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.BinarySign) and _is_pooled(node)

    def rewrite(self, graph: Graph, node: Node) -> None:
        pool = sole_producer(graph, node, *_POOLS)
        assert pool is not None
        _exchange(graph, node, pool)


#: What a norm is folded into, and what else is folded along.
_FOLDING = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Add, ops.Mul)


def _is_pooled(node: Node) -> bool:
    value: Value | None = node.inputs[0]
    return value is not None and value.producer is not None and isinstance(value.producer.op, _POOLS)


def _exchange(graph: Graph, node: Node, pool: Node) -> None:
    """``node(pool(x))`` becomes ``pool(node(x))``."""
    first = graph.add(node.op, pool.input(0), *node.inputs[1:], name=f"{node.name}.unpooled", where=node.where, before=node)
    second = graph.add(pool.op, first, name=pool.name, where=pool.where, before=node)
    succeed(graph, node.output, second)
    graph.set_input(node, 0, pool.input(0))  # the node itself is removed by who called the rewrite
    graph.remove(pool)
