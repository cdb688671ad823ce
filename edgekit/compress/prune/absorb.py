"""What removed channels gave their readers on average goes into the readers' biases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from edgekit.compress.prune.analysis import Analysis, name_of
from edgekit.compress.prune.removal import Gone
from edgekit.ir import Graph, Node, Value, ops

_TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)


def absorb(analysis: Analysis, gone: Gone, small: Graph, batches: list[list[torch.Tensor]]) -> dict[str, str]:
    """Adds to each reader's bias its weights of the removed channels times their mean; returns what could not take it, and why.

    A channel whose batch-norm scale is zero is the constant act(beta): then this is exact, except at borders padded with
    zeros (Ye et al. 2018, arXiv:1802.00124). Others vary about their mean, and the bias takes the mean.

    Args:
        analysis: of the graph before.
        gone: what was removed.
        small: the graph after; changed in place.
        batches: inputs to take means on, in evaluation mode.
    """
    readers = _readers(analysis, gone)
    means = _means(analysis.graph, {id(x): x for _, x, _ in readers}, batches)
    new_of = dict(zip((id(n) for n in analysis.graph.nodes), small.nodes, strict=False))
    names = name_of(analysis.graph)
    refused = _without_a_way(analysis, gone, names)
    for node, x, lost in readers:
        name = names[id(node.input(1))]
        delta = _contribution(node, means[id(x)], lost)
        reason = _into_bias(small, new_of[id(node)], delta, node, gone, analysis)
        if reason:
            refused[name] = reason
    return refused


def _readers(analysis: Analysis, gone: Gone) -> list[tuple[Node, Value, torch.Tensor]]:
    """Convolutions and linear layers that read removed channels, what they read, and the channels' indices there."""
    found = []
    for node in analysis.graph.nodes:
        if not isinstance(node.op, ops.Conv1d | ops.Conv2d | ops.Linear) or not node.input(1).is_constant:
            continue
        x, axis = node.input(0), node.input(0).type.rank - 1 if isinstance(node.op, ops.Linear) else 1
        lost = np.flatnonzero(gone[analysis.coupling.axis(x, axis)])
        if len(lost) and getattr(node.op, "groups", 1) == 1:
            found.append((node, x, torch.from_numpy(lost)))
    return found


def _without_a_way(analysis: Analysis, gone: Gone, names: Mapping[int, str]) -> dict[str, str]:
    """Other readers that sum over removed channels: what they miss is not made up for."""
    found = {}
    for node in analysis.graph.nodes:
        if not node.inputs:
            continue
        x, rest = node.input(0), [value for value in node.inputs[1:] if value is not None]
        if isinstance(node.op, _TRANSPOSED):
            reads, why = [(x, 1)], "a transposed convolution"
        elif isinstance(node.op, ops.Conv1d | ops.Conv2d) and 1 < node.op.groups < x.type.at(1)[1]:
            reads, why = [(x, 1)], "a convolution in groups"
        elif isinstance(node.op, ops.Lstm | ops.Gru | ops.Rnn):
            reads, why = [(x, x.type.rank - 1)], "a recurrent layer"
        elif isinstance(node.op, ops.Matmul):
            reads, why = [(x, x.type.rank - 1), (rest[0], max(rest[0].type.rank - 2, 0))], "a matrix product without a bias"
        else:
            continue
        if any(not value.is_constant and gone[analysis.coupling.axis(value, axis)].any() for value, axis in reads):
            name = next((names[id(value)] for value in rest if id(value) in names), node.output.name)
            found[name] = f"it is {why}, of which the means of removed channels are not taken"
    return found


def _means(graph: Graph, watched: dict[int, Value], batches: list[list[torch.Tensor]]) -> dict[int, torch.Tensor]:
    """Mean of each channel over samples and positions (the last axis for what a linear layer reads)."""
    sums: dict[int, torch.Tensor] = {}

    def observe(value: Value, tensor: torch.Tensor) -> None:
        if id(value) in watched:
            linear = any(isinstance(n.op, ops.Linear) and n.input(0) is value for n in value.users)
            mean = tensor.double().movedim(-1 if linear else 1, 0).flatten(1).mean(1)
            sums[id(value)] = sums.get(id(value), torch.zeros_like(mean)) + mean / len(batches)

    module = graph.module().eval()
    with torch.no_grad():
        for batch in batches:
            module.run(batch, observe)
    return sums


def _contribution(node: Node, mean: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    weight = node.input(1).tensor.detach().double()
    return (weight[:, lost].flatten(2).sum(2) if weight.dim() > 2 else weight[:, lost]) @ mean[lost]


def _into_bias(small: Graph, node: Node, delta: torch.Tensor, old: Node, gone: Gone, analysis: Analysis) -> str:
    """Moves the bias, or the running mean of the only batch norm behind a convolution without one; else says why not."""
    kept = torch.from_numpy(np.flatnonzero(~gone[analysis.coupling.axis(old.input(1), 0)]))
    delta = delta[kept]
    bias = node.optional(2)
    if bias is not None:
        if len(bias.users) > 1:
            return "its bias is shared with another layer"
        _write(bias, bias.tensor + delta.to(bias.tensor.dtype))
        return ""
    users = node.output.users
    if len(users) == 1 and isinstance(users[0].op, ops.BatchNorm) and not small.is_output(node.output):
        mean = users[0].input(3)
        if len(mean.users) == 1:
            _write(mean, mean.tensor - delta.to(mean.tensor.dtype))
            return ""
    return "it has no bias, and no batch norm of its own follows"


def _write(value: Value, data: torch.Tensor) -> None:
    data = data.detach()
    old = value.tensor
    value.data = nn.Parameter(data, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else data
