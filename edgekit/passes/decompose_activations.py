"""Write activations without an integer kernel as ops that have one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import Pass, Rewrite, require_unquantized


@dataclass(frozen=True)
class DecomposeSilu(Rewrite):
    """Write silu as its definition: integer runtimes have a product and a sigmoid.

    Given::   %y = silu(%x)
    Result::  %s = sigmoid(%x)
              %y = mul(%x, %s)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Silu)

    def rewrite(self, graph: Graph, node: Node) -> None:
        require_unquantized(node.output)
        x = node.input(0)
        gate = graph.add(ops.Sigmoid(), x, name=f"{node.name}.gate", where=node.where, before=node)
        graph.replace(node.output, graph.add(ops.Mul(), x, gate, where=node.where, before=node))


@dataclass(frozen=True)
class DecomposeHardsigmoid(Rewrite):
    """Write hardsigmoid as a sum clipped to 6 and a product.

    Given::   %y = hardsigmoid(%x)
    Result::  %s = add(%x, 3, activation='relu6')
              %y = mul(%s, 1 / 6)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Hardsigmoid)

    def rewrite(self, graph: Graph, node: Node) -> None:
        require_unquantized(node.output)
        three = graph.constant(torch.tensor(3.0), f"{node.name}.three")
        sixth = graph.constant(torch.tensor(1.0 / 6.0), f"{node.name}.sixth")
        shifted = graph.add(
            ops.Add(activation="relu6"), node.input(0), three, name=f"{node.name}.shifted", where=node.where, before=node
        )
        graph.replace(node.output, graph.add(ops.Mul(), shifted, sixth, where=node.where, before=node))


@dataclass(frozen=True)
class DecomposeNeg(Rewrite):
    """Write a change of sign as a product with -1.

    Given::   %y = neg(%x)
    Result::  %y = mul(%x, -1)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Neg) and node.output.type.is_float

    def rewrite(self, graph: Graph, node: Node) -> None:
        require_unquantized(node.output)
        minus = graph.constant(torch.tensor(-1.0, dtype=node.output.type.dtype), f"{node.name}.minus")
        graph.replace(node.output, graph.add(ops.Mul(), node.input(0), minus, where=node.where, before=node))


#: Before quantisation.
DECOMPOSE_FOR_INTEGERS: tuple[Pass, ...] = (DecomposeSilu(), DecomposeHardsigmoid(), DecomposeNeg())
