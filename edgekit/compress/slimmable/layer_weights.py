"""Weights of layers: what smaller networks take parts of."""

from __future__ import annotations

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.dynamic_range import RECURRENT, matrices
from edgekit.compress.quantize.rounding.matrix import TRANSPOSED
from edgekit.ir import Graph, Node, Value


def weights(graph: Graph) -> dict[str, tuple[Node, Value]]:
    """Constants of layers that have numbers of their own for each output, by name, and their readers."""
    found: dict[str, tuple[Node, Value]] = {}
    for node in graph.nodes:
        values = matrices(node) if isinstance(node.op, RECURRENT) else []
        if isinstance(node.op, WEIGHTED) and _is_ungrouped(node):
            values = [node.input(1)]
        found |= {value.name: (node, value) for value in values if value.is_constant}
    return found


def output_axis(node: Node) -> int:
    """The axis of a layer's weight that its outputs lie along."""
    return 1 if isinstance(node.op, TRANSPOSED) else 0


def _is_ungrouped(node: Node) -> bool:
    """The outputs of a transposed convolution with groups lie along two axes."""
    return not isinstance(node.op, TRANSPOSED) or node.op.groups == 1
