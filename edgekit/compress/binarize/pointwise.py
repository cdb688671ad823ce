"""Binary 1x1 convolutions as linear layers, whose weights LiteRT takes in 2 bits; those of convolutions it does not."""

from __future__ import annotations

from edgekit.compress.binarize.absorbing import is_binary
from edgekit.compress.quantize.pointwise import is_pointwise, linear_for_pointwise
from edgekit.ir import Graph, Node, ops
from edgekit.passes import PassRecord

#: Its name among the passes of a report.
NAME = "binary_pointwise_as_linear"

_CARRIERS = (ops.Permute, ops.Reshape)


def linear_for_binary_pointwise(graph: Graph) -> tuple[Graph, PassRecord]:
    """A copy with linear layers for the binary 1x1 convolutions, and what to report of it."""
    changed, names = linear_for_pointwise(graph, _is_binary_pointwise)
    return changed, PassRecord(NAME, len(names))


def _is_binary_pointwise(node: Node) -> bool:
    return is_pointwise(node) and is_binary(node.input(1).tensor)


def hoist_signs(graph: Graph) -> None:
    """Puts signs before what only moves elements, in place, so that they follow the layer that they can be fused into.

    Given::   %y ~ int8 = linear(%x, @w, @b)
              %p ~ int8 = permute(%y)
              %z ~ int8(scale=1) = binary_sign(%p)
    Result::  %y ~ int8 = linear(%x, @w, @b)
              %s ~ int8(scale=1) = binary_sign(%y)
              %z ~ int8(scale=1) = permute(%s)
    """
    for sign in [node for node in graph.nodes if isinstance(node.op, ops.BinarySign)]:
        _hoist(graph, sign)
    graph.eliminate_dead()


def _hoist(graph: Graph, sign: Node) -> None:
    while (move := sign.input(0).producer) is not None:
        if not isinstance(move.op, _CARRIERS) or graph.readers(move.output) != 1 or not _ends_in_linear(move):
            return
        earlier = graph.add(sign.op, move.input(0), name=f"{sign.output.name}.before", before=sign, where=sign.where)
        moved = graph.add(move.op, earlier, *move.inputs[1:], before=sign, where=move.where)
        earlier.quant = moved.quant = sign.output.quant
        graph.replace(sign.output, moved)
        graph.remove(sign)
        assert earlier.producer is not None
        sign = earlier.producer


def _ends_in_linear(node: Node) -> bool:
    """Behind moves alone stands a linear layer."""
    producer = node.input(0).producer
    while producer is not None and isinstance(producer.op, _CARRIERS):
        producer = producer.input(0).producer
    return producer is not None and isinstance(producer.op, ops.Linear)
