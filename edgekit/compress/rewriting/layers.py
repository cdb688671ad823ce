"""The layers of a graph that could be rewritten: each weight with all of the nodes that compute with it."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.names import check_names, first_that_covers
from edgekit.compress.rewriting.layer import CONVOLUTIONS, Layer, names_of
from edgekit.compress.rewriting.recurrent import find_recurrent
from edgekit.ir import Graph, Node, Value, ops

_TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)


def find_layers(graph: Graph) -> tuple[list[Layer], dict[str, str]]:
    """Layers with constant weights in the order of the graph; and what cannot be rewritten, and why."""
    found: dict[int, list[Node]] = {}
    declined: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node.op, (*CONVOLUTIONS, ops.Linear)):
            if node.input(1).is_constant:
                found.setdefault(id(node.input(1)), []).append(node)
            else:
                declined[node.name] = "its weight is computed, not constant"
        elif isinstance(node.op, _TRANSPOSED) and node.input(1).is_constant:
            declined[names_of(graph, node.input(1))[0]] = "it is a transposed convolution"
        elif isinstance(node.op, ops.Matmul) and any(v is not None and v.is_trainable for v in node.inputs):
            value = next(v for v in node.inputs if v is not None and v.is_trainable)
            declined[names_of(graph, value)[0]] = "it is read by 'matmul', not by a linear layer"
    layers, inside = find_recurrent(graph)
    declined |= inside
    for nodes in found.values():
        weight = nodes[0].input(1)
        names = names_of(graph, weight)
        reason = _not_alone(graph, weight, nodes)
        if reason:
            declined[names[0]] = reason
        else:
            layers.append(Layer(names, (weight,), tuple(nodes)))
    order = {id(node): index for index, node in enumerate(graph.nodes)}
    return sorted(layers, key=lambda layer: order[id(layer.nodes[0])]), declined


def select(
    layers: Sequence[Layer], only: Sequence[str], keep: Sequence[str], declined: dict[str, str], where: str
) -> tuple[list[Layer], dict[str, str]]:
    """The layers that the user wants rewritten, and why the others are not.

    Names are as ``edgekit.compress.names`` takes them; ``where`` is the graph's, for errors.

    Raises:
        UsageError: a name that is no layer's.
    """
    every = [*(name for layer in layers for name in layer.names), *declined]
    for option, wishes in (("layers", only), ("keep", keep)):
        check_names(option, wishes, every, of="a layer", where=where)
    wanted, reasons = [], {}
    for layer in layers:
        kept = first_that_covers(keep, layer.names)
        if kept is not None:
            reasons[layer.name] = f"'{kept}' was to be kept"
        elif only and first_that_covers(only, layer.names) is None:
            reasons[layer.name] = "it is not among the layers that were asked for"
        else:
            wanted.append(layer)
    return wanted, reasons


def _not_alone(graph: Graph, weight: Value, nodes: Sequence[Node]) -> str:
    """Why the weight cannot be replaced: something reads it otherwise."""
    if graph.is_output(weight):
        return "it is an output of the model"
    first = nodes[0].op
    for user in weight.users:
        if not any(user is node for node in nodes):
            return f"it is also read by '{user.op.name}'"
        if type(user.op) is not type(first) or getattr(user.op, "groups", 1) != getattr(first, "groups", 1):
            return f"it is read by '{first.name}' and, tied, otherwise by '{user.op.name}'"
        if sum(v is weight for v in user.inputs) > 1:
            return f"one '{user.op.name}' reads it twice"
    return ""
