"""Training is over: latent weights become +1 and -1."""

from __future__ import annotations

import copy

import torch
from torch import nn

from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.straight_through import channel_scales, signs


def absorb(graph: Graph) -> Graph:
    """A copy without ``binary_weight`` ops whose weights are exactly +1 and -1, and no longer trained.

    Given::   %w = binary_weight(@latent, scaled=True)
              %y = conv2d(%x, %w, @b)
    Result::  %c = conv2d(%x, @signs)
              %m = mul(%c, @alpha)                      # the exact passes fold both into the batch norm's scale and offset
              %y = add(%m, @b)
    """
    out = copy.deepcopy(graph)
    for node in list(out.nodes):
        if isinstance(node.op, ops.BinaryWeight):
            _absorb_one(out, node)
    out.eliminate_dead()
    out.sort()
    return out


def with_latents(graph: Graph) -> Graph:
    """A copy that computes with the latent weights themselves."""
    out = copy.deepcopy(graph)
    for node in list(out.nodes):
        if isinstance(node.op, ops.BinaryWeight):
            layer = node.output.users[0]
            out.set_input(layer, 1, node.input(0))
    out.eliminate_dead()
    return out


def _absorb_one(graph: Graph, node: Node) -> None:
    assert isinstance(node.op, ops.BinaryWeight)
    value, layer = node.input(0), node.output.users[0]
    latent = value.tensor.detach()
    if node.op.scaled:
        bias = layer.optional(2)
        if bias is not None:
            graph.set_input(layer, 2, None)
        shape = (-1, *[1] * (layer.output.type.rank - 2)) if not isinstance(layer.op, ops.Linear) else (-1,)
        alpha = graph.constant(channel_scales(latent).reshape(shape), f"{value.name}.alpha")
        last = _behind(graph, layer, ops.Mul(), alpha, "scaled")
        if bias is not None:
            offset = bias if shape == (-1,) else graph.constant(bias.tensor.detach().reshape(shape), f"{bias.name}.offset")
            _behind(graph, last, ops.Add(), offset, "shifted")
    value.data = nn.Parameter(signs(latent), requires_grad=False)
    graph.set_input(layer, 1, value)


def _behind(graph: Graph, node: Node, op: ops.Op, constant: Value, what: str) -> Node:
    """An op between a node and everything that reads it."""
    value, place = node.output, graph.nodes.index(node) + 1
    readers = list(value.users)
    before = graph.nodes[place] if place < len(graph.nodes) else None
    made = graph.add(op, value, constant, name=f"{value.name}.{what}", where=node.where, before=before)
    for reader in readers:
        for index, seen in enumerate(reader.inputs):
            if seen is value:
                graph.set_input(reader, index, made)
    if graph.is_output(value):
        graph.outputs = [made if v is value else v for v in graph.outputs]
        value.name, made.name = made.name, value.name
    assert made.producer is not None
    return made.producer


def is_binary(weight: torch.Tensor) -> bool:
    """Every output channel (axis 0) has one magnitude: +s and -s only, or zeros throughout."""
    flat = weight.detach().abs().reshape(weight.shape[0], -1)
    return bool((flat == flat[:, :1]).all())
