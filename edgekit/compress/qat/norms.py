"""The batch norms that the exact passes fold, kept as they were."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes import EXACT
from edgekit.passes.base import Pass
from edgekit.passes.fold_batch_norm import FoldBatchNorm


@dataclass(frozen=True)
class Norm:
    """A batch norm and the layer before it as they were before the fold, and what the fold made of the layer.

    Attributes:
        op: with its eps and momentum.
        weight, bias: of the layer: name and data; no bias where it had none.
        scale, offset, mean, var, batches: of the norm, likewise.
        folded: weight and bias afterwards.
    """

    op: ops.BatchNorm
    weight: Tensor
    bias: tuple[str, Tensor] | None
    scale: tuple[str, Tensor] | None
    offset: tuple[str, Tensor] | None
    mean: tuple[str, Tensor]
    var: tuple[str, Tensor]
    batches: tuple[str, Tensor] | None
    folded: tuple[Tensor, Tensor]

    @property
    def gain(self) -> Tensor:
        """gamma / sqrt(var + eps), (C,) float64: what the weights of a channel are multiplied by."""
        gain = torch.rsqrt(self.var[1].detach().double() + self.op.eps)
        return gain if self.scale is None else gain * self.scale[1].detach().double()

    @property
    def names(self) -> set[str]:
        """Of its parameters and buffers."""
        return {part[0] for part in (self.scale, self.offset, self.mean, self.var, self.batches) if part is not None}


@dataclass(frozen=True)
class FoldAndRecord(FoldBatchNorm):
    """``FoldBatchNorm`` that keeps what it folded, by the name of the layer's weight."""

    norms: dict[str, Norm] = field(default_factory=dict, compare=False)

    def rewrite(self, graph: Graph, node: Node) -> None:
        """As there; nothing is kept of a norm that is not folded."""
        layer = node.input(0).producer
        weight, bias = (None, None) if layer is None else (_named(layer.optional(1)), _named(layer.optional(2)))
        scale, offset, mean, var, batches = (_named(node.optional(index)) for index in range(1, 6))
        super().rewrite(graph, node)
        assert layer is not None and weight is not None and mean is not None and var is not None
        assert isinstance(node.op, ops.BatchNorm)
        folded = (layer.input(1).tensor, layer.input(2).tensor)
        self.norms[weight[0]] = Norm(node.op, weight[1], bias, scale, offset, mean, var, batches, folded)


def _named(value: Value | None) -> tuple[str, Tensor] | None:
    return None if value is None or value.data is None else (value.name, value.data)


def recording_passes(norms: dict[str, Norm]) -> tuple[Pass, ...]:
    """The exact passes, the fold of batch norms filling ``norms``."""
    return tuple(FoldAndRecord(norms) if isinstance(step, FoldBatchNorm) else step for step in EXACT)
