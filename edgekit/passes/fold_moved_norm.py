"""Fold batch normalisation into a layer whose output was moved before it is normalised."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import PassRecord, Rewrite, Skip, require_unquantized
from edgekit.passes.channel_paths import moved
from edgekit.passes.fold_batch_norm import channel_affine, fold_affine

_MADE = (ops.Linear, ops.Conv1d, ops.Conv2d)


@dataclass(frozen=True)
class FoldMovedBatchNorm(Rewrite):
    """Fold a ``batch_norm`` behind reshapes and permutes into the layer before them.

    Given::   %y = linear(%x, @w)                    # (N, T, C): a layer on tokens
              %t = permute(%y, dims=(0, 2, 1))
              %z = batch_norm(%t, @gamma, @beta, @mean, @var, eps)
    Result::  %y = linear(%x, @w * s, @beta - @mean * s)              # s = gamma / sqrt(var + eps)
              %z = permute(%y, dims=(0, 2, 1))
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.BatchNorm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        value, axis = node.input(0), 1
        require_unquantized(node.output)
        while (before := value.producer) is not None and graph.readers(value) == 1:
            require_unquantized(value)
            if isinstance(before.op, _MADE):
                if axis != (value.type.rank - 1 if isinstance(before.op, ops.Linear) else 1):
                    break
                fold_affine(graph, before, *channel_affine(node))
                graph.replace(node.output, node.input(0))
                return
            if len(before.inputs) != 1 or len(before.outputs) != 1:
                break
            value = before.input(0)
            places = [place for place in range(value.type.rank) if moved(before, 0, place) == axis]
            if not places:
                break
            axis = places[0]
        raise Skip("no layer's moved output feeds it")

    def apply(self, graph: Graph) -> PassRecord:
        """What it declines, ``FoldBatchNorm`` has told of."""
        return PassRecord(self.name, super().apply(graph).rewrites)
