"""The one graph: values, nodes, ops, its text and file forms, and its two executions."""

from edgekit.ir import ops
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.quant import QuantParams
from edgekit.ir.signature import Signature
from edgekit.ir.types import Batch, Dim, N, TensorType, Where

__all__ = ["Batch", "Dim", "Graph", "N", "Node", "QuantParams", "Signature", "TensorType", "Value", "Where", "ops"]
