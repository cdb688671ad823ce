"""Writing new numbers into a constant of a graph that the caller owns."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.ir import Graph, Node, Value
from edgekit.passes.base import Skip


def require_private(graph: Graph, value: Value, node: Node) -> None:
    """Skip unless ``node`` alone reads the constant."""
    if not value.is_constant:
        raise Skip(f"%{value.name} is computed, not constant")
    if graph.readers(value) > 1 or any(user is not node for user in value.users):
        raise Skip(f"@{value.name} is shared with another node")
    if value.quant is not None:
        raise Skip(f"@{value.name} is quantised")


def rewrite_constant(value: Value, data: torch.Tensor) -> None:
    """Gives a constant new numbers of the same shape; trainable stays trainable, frozen stays frozen.

    The old tensor is not written to.
    """
    data = data.to(value.tensor.dtype).contiguous()
    value.data = nn.Parameter(data, requires_grad=value.tensor.requires_grad) if value.is_trainable else data


def set_bias(graph: Graph, node: Node, bias: torch.Tensor) -> None:
    """Writes a node's bias (input 2), making one beside its weight where it had none.

    Raises:
        Skip: the present bias is shared or computed.
    """
    present, weight = node.optional(2), node.input(1)
    if present is not None:
        rewrite_constant(present, bias)
        return
    prefix = weight.name.rpartition(".")[0]
    name = graph.unique_name(f"{prefix}.bias" if prefix else f"{weight.name}_bias")
    graph._names.discard(name)
    bias = bias.to(weight.tensor.dtype).contiguous()
    value = graph.add_state(name, nn.Parameter(bias)) if weight.is_trainable else graph.constant(bias, name)
    graph.extend_input(node, value)
