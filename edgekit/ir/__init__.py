"""The one graph: values, nodes, ops, its text and file forms, and its two executions."""

from typing import TYPE_CHECKING, Any

from edgekit.ir import ops
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.quant import QuantParams
from edgekit.ir.signature import Signature
from edgekit.ir.types import Batch, Dim, N, TensorType, Where

if TYPE_CHECKING:
    from edgekit.ir.integer.interpreter import Simulator, simulate

__all__ = [
    "Batch",
    "Dim",
    "Graph",
    "N",
    "Node",
    "QuantParams",
    "Signature",
    "Simulator",
    "TensorType",
    "Value",
    "Where",
    "ops",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """The integer execution is loaded on first use: most passes and exports need the graph alone."""
    if name in ("Simulator", "simulate"):
        from edgekit.ir.integer import interpreter

        return getattr(interpreter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
