"""Write products with a constant matrix as linear layers."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, TensorType, Value, ops
from edgekit.passes.base import Rewrite, Skip, require_unquantized
from edgekit.passes.constants import require_private, rewrite_constant


@dataclass(frozen=True)
class LinearForConstantProduct(Rewrite):
    """Write a product with a constant matrix as a linear layer: its kernel packs the matrix, and integers have scales by row.

    Given::   %y = matmul(%x: [..., I], @w: [I, O])
    Result::  %y = linear(%x, @w transposed)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Matmul) and node.input(1).is_constant

    def rewrite(self, graph: Graph, node: Node) -> None:
        x, matrix = node.input(0), node.input(1)
        assert isinstance(node.op, ops.Matmul)
        if matrix.type.rank != 2 or x.type.rank < 2 or x.is_constant or not x.type.is_float:
            raise Skip("it is no product of rows with a matrix")
        require_unquantized(node.output, matrix)
        if not node.op.transpose_b:
            matrix = _turned(graph, matrix, node)
        made = graph.add(ops.Linear(), x, matrix, name=node.name, where=node.where, before=node)
        graph.replace(node.output, made)


def _turned(graph: Graph, matrix: Value, node: Node) -> Value:
    """The matrix transposed, under its own name where this node alone reads it."""
    turned = matrix.tensor.detach().T
    try:
        require_private(graph, matrix, node)
    except Skip:
        return graph.constant(turned.contiguous(), f"{matrix.name}.transposed")
    rewrite_constant(matrix, turned)
    matrix.type = TensorType(matrix.type.dtype, tuple(turned.shape))
    return matrix
