"""The same network untrained: new initial weights by a seed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from edgekit.ir import Graph, Node, Value, ops
from edgekit.train.randomness import generator

#: Ops between a parameter and the layer that it belongs to.
_CARRIERS = (ops.Reshape, ops.Permute, ops.Split, ops.Slice, ops.Cast, ops.Identity, ops.Concat)
_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear, ops.Matmul)
_NORMS = (ops.BatchNorm, ops.LayerNorm, ops.RmsNorm, ops.GroupNorm, ops.InstanceNorm)
_RECURRENT = (ops.Lstm, ops.Gru, ops.Rnn)


def untrained(graph: Graph, seed: int) -> Graph:
    """A copy whose parameters are drawn anew, as torch's own layers draw theirs.

    Weights and biases of convolutions and linear layers are uniform between +-1 / sqrt(fan_in), those of recurrent layers
    between +-1 / sqrt(hidden); norms scale by 1 and shift by 0, with fresh statistics; rows that are looked up are standard
    normal. Whatever else is trainable is drawn from a normal distribution with its present mean and standard deviation.

    Args:
        graph: float; is left as it is.
        seed: decides every number; a parameter's depend on its name and on nothing else.
    """
    twin = copy.deepcopy(graph)
    twin.source, twin.history = None, ()
    drawn: set[int] = set()
    with torch.no_grad():
        for name, value in twin.state.items():
            if id(value) in drawn:
                continue  # a second name of tied weights
            drawn.add(id(value))
            if value.is_trainable:
                _draw(value, generator(seed, "untrained", name))
        for node in twin.nodes:
            if isinstance(node.op, ops.BatchNorm):
                _fresh_statistics(node)
    return twin


def _draw(value: Value, numbers: torch.Generator) -> None:
    data = value.tensor
    node, index = _layer(value)
    if node is not None and isinstance(node.op, _NORMS):
        data.fill_(1.0 if index == 1 else 0.0)
    elif node is not None and isinstance(node.op, _RECURRENT):
        _uniform(data, node.op.hidden, numbers)
    elif node is not None and isinstance(node.op, ops.Gather):
        data.copy_(torch.randn(data.shape, generator=numbers))
    elif node is not None and isinstance(node.op, _WEIGHTED):
        weight = value if index == 1 or isinstance(node.op, ops.Matmul) else node.input(1)
        shape = weight.tensor_shape
        by_row = isinstance(node.op, ops.Matmul) and index == 1
        fan_in = shape[-2] if by_row and len(shape) > 1 else torch.Size(shape[1:]).numel()
        _uniform(data, max(fan_in, 1), numbers)
    else:
        mean, spread = float(data.mean()), float(data.std()) if data.numel() > 1 else 0.0
        data.copy_(torch.randn(data.shape, generator=numbers) * spread + mean)


def _layer(value: Value) -> tuple[Node | None, int]:
    """The layer that a parameter feeds, at first hand or through changes of shape, and the place among its inputs."""
    for node in value.users:
        index = next(i for i, v in enumerate(node.inputs) if v is value)
        if isinstance(node.op, _CARRIERS):
            found = _layer(node.output)
            if found[0] is not None:
                return found
        if index > 0 and isinstance(node.op, (*_WEIGHTED, *_NORMS, *_RECURRENT)):
            return node, index
        if index == 0 and isinstance(node.op, ops.Gather):
            return node, index
    return None, 0


def _uniform(data: Tensor, fan_in: int, numbers: torch.Generator) -> None:
    data.copy_((torch.rand(data.shape, generator=numbers) * 2 - 1) * fan_in**-0.5)


def _fresh_statistics(node: Node) -> None:
    node.input(3).tensor.zero_()
    node.input(4).tensor.fill_(1.0)
    batches = node.optional(5)
    if batches is not None:
        batches.tensor.zero_()
