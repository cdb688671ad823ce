"""Signs of binary networks. Sign gives 0 for 0, so they are a comparison and a choice."""

from __future__ import annotations

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node


@emits(ops.BinarySign)
def binary_sign(to: Emission, node: Node, op: ops.BinarySign) -> Tensor:
    """Where(x >= 0, 1, -1)"""
    is_plus = to.add("GreaterOrEqual", to.read(node.input(0)), to.scalar(0.0))
    return to.add("Where", is_plus, to.scalar(1.0), to.scalar(-1.0))
