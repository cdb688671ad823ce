"""Where a graph's logits are: before the softmax or sigmoid that it ends in, or its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from edgekit.ir import Value, ops
from edgekit.ir.ops.base import Op, as_tuple

#: What an output predicts; "unknown": the graph does not say.
Kind = Literal["classes", "binary", "unknown"]

#: Ops behind a softmax that change neither its elements nor their number.
_CARRIERS = (ops.Reshape, ops.Permute, ops.Identity, ops.Dropout, ops.Cast)


@dataclass(frozen=True)
class Logits:
    """The value that holds the logits of one output.

    Attributes:
        value: before the activation.
        kind: as the activation tells.
        axis: of the classes, where there is a softmax.
        carriers: ops that stand behind the activation, in order: what the output has of shape that the logits have not.
    """

    value: Value
    kind: Kind
    axis: int | None = None
    carriers: tuple[Op, ...] = ()

    def arranged(self, logits: Tensor, batch: int) -> Tensor:
        """The logits of so many samples in the shape of the output."""
        for op in self.carriers:
            (logits,) = as_tuple(op.at(batch).run(logits, training=False))
        return logits


def find_logits(output: Value) -> Logits:
    """The logits of a graph's output.

    A graph that ends in a softmax, its logarithm or a sigmoid (reshaped or not) is distilled on what that reads: probabilities
    have lost the logits' scale, and a softmax of them is nearly uniform. Of any other graph the output itself is taken.
    """
    value, carriers = output, list[Op]()
    while value.producer is not None and isinstance(value.producer.op, _CARRIERS):
        carriers.insert(0, value.producer.op)
        value = value.producer.input(0)
    node = value.producer
    if node is not None and isinstance(node.op, ops.Log):
        inner = node.input(0).producer
        node = inner if inner is not None and isinstance(inner.op, ops.Softmax) else node
    if node is not None and isinstance(node.op, ops.Softmax | ops.LogSoftmax):
        return Logits(node.input(0), "classes", node.op.axis % node.input(0).type.rank, tuple(carriers))
    if node is not None and isinstance(node.op, ops.Sigmoid):
        return Logits(node.input(0), "binary", carriers=tuple(carriers))
    return Logits(output, "unknown")
