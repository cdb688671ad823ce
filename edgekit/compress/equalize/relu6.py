"""ReLU6 becomes ReLU, so that scale can pass: a change of function."""

from __future__ import annotations

from edgekit.compress.equalize.pairs import Pair
from edgekit.ir import Graph, Node, ops


def replace_relu6(graph: Graph, pairs: list[Pair]) -> list[str]:
    """Makes every ReLU6 inside these pairs a ReLU, in place. Returns the names of the values it gave."""
    replaced = []
    for pair in pairs:
        for node in (pair.first, *pair.between):
            changed = _as_relu(node)
            if changed is not None:
                graph.set_op(node, changed)
                replaced.append(node.name)
    return replaced


def _as_relu(node: Node) -> ops.Op | None:
    """The op with ReLU in the place of ReLU6; None where it has none."""
    if getattr(node.op, "activation", "none") == "relu6":
        return node.op.with_(activation="relu")
    is_relu6 = isinstance(node.op, ops.Relu6) or (isinstance(node.op, ops.Clamp) and (node.op.low, node.op.high) == (0.0, 6.0))
    return ops.Relu() if is_relu6 else None
