"""One function per op of the graph: which integer kernel a quantised node is, with which arguments."""

from edgekit.ir.integer.nodes import activations, binary, elementwise, movement, products, recurrent, reductions, windows
from edgekit.ir.integer.nodes.table import KERNELS, Call

__all__ = [
    "KERNELS",
    "Call",
    "activations",
    "binary",
    "elementwise",
    "movement",
    "products",
    "recurrent",
    "reductions",
    "windows",
]
