"""Fold a product with one number into the layer whose outputs it multiplies, however these were moved since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import PassRecord, Rewrite, Skip, require_unquantized
from edgekit.passes.fold_batch_norm import fold_affine

_MADE = (ops.Linear, ops.Conv1d, ops.Conv2d)

#: What only moves elements: a trace of channel numbers goes through it.
_MOVES = (ops.Identity, ops.Permute, ops.Reshape, ops.Slice, ops.Split, ops.Roll, ops.Flip)

#: Of the batch that a trace is made with.
_BATCH = 2


@dataclass(frozen=True)
class FoldScale(Rewrite):
    """Fold ``mul`` or ``div`` with one number into a layer before it, also through a product of matrices.

    Given::   %y = linear(%x, @w)                    # queries, keys and values side by side
              %q, %k = split(%y)
              %s = mul(%q, @number)
    Result::  %y = linear(%x, @w with the rows of the queries scaled)
              %q, %k = split(%y)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Mul | ops.Div) and node.input(1).is_constant and node.input(1).type.numel() == 1

    def rewrite(self, graph: Graph, node: Node) -> None:
        assert isinstance(node.op, ops.Mul | ops.Div)
        x, constant = node.input(0), node.input(1)
        require_unquantized(x, constant, node.output)
        if node.op.activation != "none" or node.output.type != x.type or x.producer is None or graph.is_output(x):
            raise Skip("not a plain product of one value")
        number = constant.tensor.detach().double().reshape(())
        number = number if isinstance(node.op, ops.Mul) else 1.0 / number
        reader, value = node, x
        if isinstance(x.producer.op, ops.Matmul) and graph.readers(x) == 1:
            reader, value = x.producer, x.producer.input(0)
        maker = _maker_of(value)
        outputs = maker.output
        axis = outputs.type.rank - 1 if isinstance(maker.op, ops.Linear) else 1
        rows = _rows(graph, outputs, axis, reader, value)
        factor = torch.ones(outputs.tensor_shape[axis], dtype=torch.float64)
        factor[rows] = number
        fold_affine(graph, maker, factor, torch.zeros_like(factor))
        graph.replace(node.output, x)

    def apply(self, graph: Graph) -> PassRecord:
        """A product whose operand comes from elsewhere is no news."""
        rewrites = 0
        for node in list(graph.nodes):
            if self.match(graph, node):
                try:
                    self.rewrite(graph, node)
                except Skip:
                    continue
                graph.remove(node)
                rewrites += 1
        return PassRecord(self.name, rewrites)


def _maker_of(value: Value) -> Node:
    """The layer that computes the elements of a value."""
    while value.producer is not None:
        require_unquantized(value)
        if isinstance(value.producer.op, _MADE):
            return value.producer
        if not isinstance(value.producer.op, _MOVES):
            break
        value = value.producer.input(0)
    raise Skip(f"no layer computes %{value.name}")


def _rows(graph: Graph, made: Value, axis: int, reader: Node, value: Value) -> torch.Tensor:
    """The output channels of a layer that ``reader`` sees in ``value``.

    Raises:
        Skip: something else sees one of them too.
    """
    channels = made.tensor_shape[axis]
    numbers = torch.arange(channels).reshape([-1 if i == axis else 1 for i in range(made.type.rank)])
    seen, elsewhere = torch.zeros(channels, dtype=torch.bool), torch.zeros(channels, dtype=torch.bool)
    for node, given, held in _traced(graph, made, numbers.expand(made.type.at(_BATCH))):
        (seen if node is reader and given is value else elsewhere)[held.flatten()] = True
    if bool((seen & elsewhere).any()) or not bool(seen.any()):
        raise Skip(f"something else reads what would be scaled of %{made.name}")
    return seen


def _traced(graph: Graph, value: Value, held: torch.Tensor) -> Iterator[tuple[Node | None, Value, torch.Tensor]]:
    """Every reader behind ops that only move, with what it reads and the channel numbers in it; None for an output."""
    if graph.is_output(value):
        yield None, value, held
    for node in dict.fromkeys(value.users):
        if not isinstance(node.op, _MOVES):
            yield node, value, held
            continue
        results = node.op.at(_BATCH).run(held)
        for output, result in zip(node.outputs, results if isinstance(results, tuple | list) else (results,), strict=True):
            yield from _traced(graph, output, result)
