"""Where a constant can be added to what a layer gives: its bias, the norm behind it, or a bias that it did not have."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.compress.prune.absorbing.sums import Reader
from edgekit.ir import Graph, Node, Value, ops


class NoPlace(Exception):
    """Why nothing can take the constant."""


def add_constant(graph: Graph, node: Node, reader: Reader, delta: torch.Tensor, *, may_grow: bool) -> str:
    """Adds one number to each of a layer's outputs, before an activation that is fused into it; returns what took them.

    Args:
        graph: pruned; is changed in place.
        node: the layer in it.
        reader: the layer before.
        delta: one number for each output that is left.
        may_grow: a layer that has no place for it gets a bias.

    Raises:
        NoPlace: with the reason.
    """
    if isinstance(node.op, ops.Matmul):
        return _behind_product(graph, node, reader, delta, may_grow)
    bias = node.optional(2)
    if bias is not None:
        if not bias.is_constant or graph.readers(bias) > 1:
            raise NoPlace("its bias is shared with another layer")
        write(bias, bias.tensor + delta.to(bias.tensor))
        return "bias"
    if (mean := _mean_of_its_norm(graph, node)) is not None:
        write(mean, mean.tensor - delta.to(mean.tensor))
        return "batch norm"
    if not may_grow:
        raise NoPlace("it has no bias, no batch norm of its own follows, and the budget counts what a new bias costs")
    new = new_parameter(graph, node.input(1), delta, "bias")
    if len(node.inputs) > 2:
        graph.set_input(node, 2, new)
    else:
        graph.extend_input(node, new)
    return "new bias"


def write(value: Value, data: torch.Tensor) -> None:
    """New data; the old tensor, which other graphs share, is not written to."""
    data, old = data.detach(), value.tensor
    value.data = nn.Parameter(data, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else data


def new_parameter(graph: Graph, like: Value, data: torch.Tensor, leaf: str) -> Value:
    """A parameter beside another: ``conv.bias`` beside ``conv.weight``, ``scale_bias`` beside ``scale``.

    Args:
        graph: gets it.
        like: the weight, with its element type and device; may be computed.
        data: of the parameter.
        leaf: the last part of its name.
    """
    own = next((name for name, value in graph.state.items() if value is like), like.name)
    head, dot, last = own.rpartition(".")
    wish = f"{head}{dot}{leaf}" if dot and "weight" in last else f"{own}_{leaf}"
    name, count = wish, 0
    while name in graph.state:
        count += 1
        name = f"{wish}_{count}"
    device = like.tensor.device if like.is_constant else data.device
    trains = like.is_trainable or not like.is_constant
    return graph.add_state(name, nn.Parameter(data.to(device, like.type.dtype), requires_grad=trains))


def _mean_of_its_norm(graph: Graph, node: Node) -> Value | None:
    """The running mean of the only batch norm behind, where it normalises the channels that the layer makes."""
    users = node.output.users
    if len(users) != 1 or not isinstance(users[0].op, ops.BatchNorm) or graph.readers(node.output) > 1:
        return None
    mean = users[0].input(3)
    is_linear = isinstance(node.op, ops.Linear) and node.output.type.rank != 2
    fused = getattr(node.op, "activation", "none") != "none"
    return None if is_linear or fused or not mean.is_constant or graph.readers(mean) > 1 else mean


def _behind_product(graph: Graph, node: Node, reader: Reader, delta: torch.Tensor, may_grow: bool) -> str:
    """Into the constant that is added to a matrix product, or into a new one."""
    rows = reader.weight is reader.node.inputs[0]
    shaped = delta[:, None] if rows else delta
    users = node.output.users
    if len(users) == 1 and isinstance(users[0].op, ops.Add) and graph.readers(node.output) == 1:
        other = next((v for v in users[0].inputs if v is not None and v is not node.output), None)
        if other is not None and other.is_constant and graph.readers(other) == 1:
            data = other.tensor + shaped.to(other.tensor)
            if data.shape == other.tensor.shape:
                write(other, data)
                return "bias"
    if not may_grow:
        raise NoPlace("nothing of its own is added to this product, and the budget counts what that would cost")
    new = new_parameter(graph, node.input(0 if rows else 1), shaped, "bias")
    at = graph.nodes.index(node) + 1
    before = graph.nodes[at] if at < len(graph.nodes) else None
    graph.replace(node.output, graph.add(ops.Add(), node.output, new, where=node.where, before=before))
    return "new bias"
