"""Recurrent layers: the matrices that multiply their input, which a linear layer before them makes thinner."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgekit.compress.rewriting.layer import RECURRENT, Layer, names_of
from edgekit.ir import Graph, Node, Value, ops


def find_recurrent(graph: Graph) -> tuple[list[Layer], dict[str, str]]:
    """Input matrices of recurrent layers (of both directions together), and all matrices that cannot be rewritten, and why."""
    found: dict[tuple[int, ...], list[Node]] = {}
    declined: dict[str, str] = {}
    for node in graph.nodes:
        if not isinstance(node.op, RECURRENT):
            continue
        inputs = [node.input(i) for i in input_matrices(node)]
        for value in node.inputs[1 + node.op.STATES :]:
            if value is not None and value.type.rank == 2 and not any(v is value for v in inputs):
                declined[names_of(graph, value)[0]] = f"it is a matrix inside one '{node.op.name}'"
        if all(value.is_constant for value in inputs):
            found.setdefault(tuple(id(v) for v in inputs), []).append(node)
        else:
            declined[node.name] = "its weight is computed, not constant"
    layers = []
    for nodes in found.values():
        weights = tuple(nodes[0].input(i) for i in input_matrices(nodes[0]))
        names = tuple(name for weight in weights for name in names_of(graph, weight))
        readers = {id(user) for weight in weights for user in weight.users}
        if readers != {id(node) for node in nodes} or len({id(w) for w in weights}) < len(weights):
            declined[names[0]] = "it is also read by another layer"
        elif any(graph.readers(weight) > len(nodes) for weight in weights) or len({type(n.op) for n in nodes}) > 1:
            declined[names[0]] = "it is read in more than one way"
        else:
            layers.append(Layer(names, weights, tuple(nodes)))
    return layers, declined


def input_matrices(node: Node) -> list[int]:
    """The places among a recurrent node's inputs of the matrices that multiply its input: one a direction."""
    op = node.op
    assert isinstance(op, RECURRENT)
    each = 4 if op.bias else 2
    return [1 + op.STATES + direction * each for direction in range(op.directions)]


def write_input(
    graph: Graph, layer: Layer, weights: Sequence[Value], nodes: Sequence[Node], down: torch.Tensor, up: torch.Tensor
) -> None:
    """Puts ``down`` (r, I) as a linear layer before the nodes, whose input matrices become the rows of ``up`` (O, r).

    The matrices keep their names; the linear layer is called ``down`` in their module.

    Args:
        graph: changed in place.
        layer: in the graph before.
        weights: the layer's weights in this graph.
        nodes: its nodes in this graph.
        down: the first factor.
        up: the last factor.
    """
    old = weights[0]
    stems = [name.rpartition(".")[0] for name, v in graph.state.items() if v is old]
    role, count = "down", 0
    while any(name.startswith(f"{_joined(stem, role)}.") for stem in stems for name in graph.state):
        count += 1
        role = f"down_{count}"
    thin = graph.constant(_like(old, down), f"{_joined(stems[0] if stems else old.name, role)}.weight")
    rows = torch.split(up, [weight.tensor_shape[0] for weight in weights])
    fresh = {id(weight): graph.constant(_like(weight, part), weight.name) for weight, part in zip(weights, rows, strict=True)}
    state: dict[str, Value] = {}
    for name, value in graph.state.items():
        if value is old:
            state[f"{_joined(name.rpartition('.')[0], role)}.weight"] = thin
        state[name] = fresh.get(id(value), value)
    graph.state = state
    for node in nodes:
        x = graph.add(ops.Linear(), node.input(0), thin, name=f"{node.name}_down", where=node.where, before=node)
        graph.set_input(node, 0, x)
        for index in input_matrices(node):
            graph.set_input(node, index, fresh[id(node.input(index))])
    for weight in weights:
        weight.name, fresh[id(weight)].name = fresh[id(weight)].name, weight.name


def _like(old: Value, data: torch.Tensor) -> torch.Tensor:
    data = data.to(old.tensor).contiguous()
    return nn.Parameter(data, requires_grad=old.tensor.requires_grad) if old.is_trainable else data


def _joined(stem: str, role: str) -> str:
    return f"{stem}.{role}" if stem else role
