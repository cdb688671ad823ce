"""What a lowering is: a rewrite that replaces one op by others with the same function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.passes.base import Rewrite, Skip


class Build:
    """Adds nodes in the place of the one that is replaced; they carry its place in the user's source."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node

    def __call__(self, op: ops.Op, *inputs: Value | float, quant: QuantParams | None = None) -> Value:
        """A node's first output; a number becomes a constant."""
        values = [self.number(x) if isinstance(x, int | float) else x for x in inputs]
        value = self.graph.add(op, *values, name=f"{self.node.name}.{op.name}", where=self.node.where, before=self.node)
        value.quant = quant
        return value

    def several(self, op: ops.Op, *inputs: Value, quant: QuantParams | None = None) -> list[Value]:
        """All outputs of a node."""
        node = self.graph.add_node(op, inputs, name=f"{self.node.name}.{op.name}", where=self.node.where, before=self.node)
        for value in node.outputs:
            value.quant = quant
        return list(node.outputs)

    def number(self, value: float) -> Value:
        """A scalar constant of the node's type."""
        return self.tensor(torch.tensor(value, dtype=self.node.input(0).type.dtype))

    def tensor(self, data: torch.Tensor) -> Value:
        """A constant."""
        return self.graph.constant(data.detach(), f"{self.node.name}.constant")


@dataclass(frozen=True)
class Lowering(Rewrite):
    """Replaces ops of one class. ``lower`` gives the value that takes the output's place, or raises Skip."""

    kind: ClassVar[type[ops.Op] | tuple[type[ops.Op], ...]]

    def match(self, graph: Graph, node: Node) -> bool:
        """Whether the node is of the class."""
        return isinstance(node.op, self.kind)

    def rewrite(self, graph: Graph, node: Node) -> None:
        """Replace the node."""
        result = self.lower(Build(graph, node), node, node.op)
        if result.quant is None:
            result.quant = node.output.quant
        graph.replace(node.output, result)

    def lower(self, build: Build, node: Node, op: Any) -> Value:
        """The value that takes the place of the node's output."""
        raise NotImplementedError(self.name)


__all__ = ["Build", "Lowering", "Skip"]
