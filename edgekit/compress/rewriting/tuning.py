"""Closed-form improvement on data: last factors fitted by least squares, mean errors into biases, norms between set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from edgekit.compress.rewriting.patches import patches, pick, positions
from edgekit.compress.rewriting.writing import Chain
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.module import batch_size_of
from edgekit.ir.ops.base import as_tuple

#: Rows that a factor is fitted on: so many for each of its inputs, between two bounds, and so many numbers at most.
_ROWS_EACH, _FEWEST, _MOST, _NUMBERS = 8, 2048, 16384, 1 << 24

#: The fit is drawn towards the factor that it starts with: ridge, relative to the features' mean energy.
_RIDGE = 1e-4

#: Called for each node with its inputs, batch by batch, before it runs; may give the node's constants other data.
_Visit = Callable[[Node, list[torch.Tensor]], None]


@dataclass
class Tuned:
    """What was done.

    Attributes:
        errors: by layer, relative error of its outputs on rows that the fit did not see, before and after.
        left: by layer, why (some of) it was not done.
        norms: batch norms between that took the data's statistics.
    """

    errors: dict[str, tuple[float, float]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    norms: int = 0


def tune(
    graph: Graph,
    small: Graph,
    chains: Sequence[Chain],
    batches: list[list[torch.Tensor]],
    *,
    refit: bool,
    absorb: bool,
    seed: int,
) -> Tuned:
    """Walks the rewritten graph once, layer by layer, each fitted on what those before it now give; changes it in place.

    With inputs z of the last factor A and the outputs y that the layer had in the graph before, ``refit`` sets

        A' = A + argmin_D ||y - A z - D z||^2 + ridge ||D||^2

    and the bias (or the mean of the batch norm that alone follows) takes what is left of the error on average; the inputs
    are those of the rewritten graph, the outputs those of the graph before ("asymmetric", Zhang et al. 2015,
    arXiv:1411.4229). ``absorb`` does the bias alone. A fit that does not help on rows that were held out is not taken.
    """
    done = Tuned()
    by_last = {}
    for chain in chains if refit or absorb else ():
        if len(chain.last) == 1:
            by_last[id(chain.last[0])] = chain
        else:
            layer = chain.rewrite.layer
            done.left[layer.name] = f"it is {layer.kind}" if layer.is_recurrent else "it is called several times"
    rows = _targets(graph, list(by_last.values()), batches, seed)
    norms = {id(node): chain for chain in chains for node in chain.norms}

    def visit(node: Node, inputs: list[torch.Tensor]) -> None:
        if id(node) in norms:
            _set_norm(node, inputs)
            done.norms += 1
        if id(node) in by_last:
            _fit(small, node, by_last[id(node)].rewrite.layer.name, inputs, rows[id(node)], refit, done)

    _walk(small, batches, visit)
    return done


@dataclass
class _Rows:
    picks: list[torch.Tensor]
    targets: list[torch.Tensor] = field(default_factory=list)


def _targets(graph: Graph, chains: Sequence[Chain], batches: list[list[torch.Tensor]], seed: int) -> dict[int, _Rows]:
    """For the last node of each chain, by id: which outputs are looked at, and what they were before any activation."""
    generator = torch.Generator().manual_seed(seed)
    wanted = {id(chain.rewrite.layer.nodes[0]): chain for chain in chains}
    found: dict[int, _Rows] = {}

    def visit(node: Node, inputs: list[torch.Tensor]) -> None:
        chain = wanted.get(id(node))
        if chain is None:
            return
        layer, features = chain.rewrite.layer, chain.rewrite.factors[-1][0].numel()
        count = min(_MOST, max(_FEWEST, _ROWS_EACH * features), _NUMBERS // max(features, layer.dense[0].numel()))
        rows = _Rows([pick(positions(x, node.op, layer.kernel), -(-count // len(inputs)), generator) for x in inputs])
        for x, picks in zip(inputs, rows.picks, strict=True):
            y = patches(x, node.op, layer.kernel, picks) @ layer.dense.flatten(1).T
            rows.targets.append(y + _bias(node))
        found[id(chain.last[0])] = rows

    if chains:
        _walk(graph, batches, visit)
    return found


def _fit(graph: Graph, node: Node, name: str, inputs: list[torch.Tensor], rows: _Rows, refit: bool, done: Tuned) -> None:
    weight = node.input(1)
    a = weight.tensor.detach().cpu().double().flatten(1)
    kernel = weight.tensor_shape[2:]
    z = torch.cat([patches(x, node.op, kernel, p) for x, p in zip(inputs, rows.picks, strict=True)])
    y = torch.cat(rows.targets)
    rest = y - z @ a.T - _bias(node)
    held = torch.arange(len(y)) % 5 == 4
    place = _place_of_bias(graph, node)
    if place is None:
        no_place = "it has no bias of its own, and no batch norm of its own follows"
        done.left[name] = f"{no_place}: only its weights were fitted" if refit else no_place
    mean_z, mean_rest = (z[~held].mean(0), rest[~held].mean(0)) if place is not None else (0 * z[0], 0 * rest[0])
    change = torch.zeros_like(a)
    if refit:
        centred = z[~held] - mean_z
        gram = centred.T @ centred
        gram += _RIDGE * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(gram), dtype=gram.dtype)
        change = torch.linalg.solve(gram, centred.T @ (rest[~held] - mean_rest)).T
    shift = mean_rest - change @ mean_z
    size = y[held].norm().clamp_min(1e-300)
    before = float(rest[held].norm() / size)
    after = float((rest[held] - z[held] @ change.T - shift).norm() / size)
    if not after < before:
        done.errors[name] = (before, before)
        done.left[name] = "the fit does not help on rows that it did not see"
        return
    done.errors[name] = (before, after)
    if refit:
        _set(weight, (a + change).reshape(weight.tensor_shape))
    if place is not None:
        value, sign = place
        _set(value, value.tensor.detach().cpu().double() + sign * shift)


def _place_of_bias(graph: Graph, node: Node) -> tuple[Value, float] | None:
    """Where a constant can be added to the outputs: the node's bias, or (subtracted) the mean of the norm that follows."""
    bias = node.optional(2)
    if bias is not None:
        return (bias, 1.0) if bias.is_constant and graph.readers(bias) == 1 else None
    users = node.output.users
    if len(users) == 1 and isinstance(users[0].op, ops.BatchNorm) and graph.readers(node.output) == 1:
        mean = users[0].input(3)
        if mean.is_constant and graph.readers(mean) == 1 and getattr(node.op, "activation", "none") == "none":
            channels_first = not isinstance(node.op, ops.Linear) or node.output.type.rank == 2
            return (mean, -1.0) if channels_first else None
    return None


def _set_norm(node: Node, inputs: list[torch.Tensor]) -> None:
    """The data's statistics, with a scale and an offset that undo them: the identity, also in training at first."""
    channels = torch.cat([x.double().movedim(1, 0).flatten(1) for x in inputs], 1)
    mean, var = channels.mean(1), channels.var(1, unbiased=False)
    assert isinstance(node.op, ops.BatchNorm)
    data = ((var + node.op.eps).sqrt(), mean, mean, var)
    for index, tensor in enumerate(data, start=1):
        _set(node.input(index), tensor)


def _walk(graph: Graph, batches: list[list[torch.Tensor]], visit: _Visit) -> None:
    """Runs the graph node by node over all batches at once, in evaluation mode."""
    sizes = [batch_size_of(graph, batch) for batch in batches]
    held = {id(value): [batch[i] for batch in batches] for i, value in enumerate(graph.inputs)}
    last = {id(v): index for index, node in enumerate(graph.nodes) for v in node.inputs if v is not None}
    with torch.no_grad():
        for index, node in enumerate(graph.nodes):
            first = node.inputs[0]
            if first is not None and id(first) in held:
                visit(node, held[id(first)])
            results = []
            for i, size in enumerate(sizes):
                inputs = [None if v is None else v.tensor if v.is_constant else held[id(v)][i] for v in node.inputs]
                results.append(as_tuple(node.op.at(size).run(*inputs)))
            for place, value in enumerate(node.outputs):
                held[id(value)] = [result[place] for result in results]
            for v in (*node.inputs, *node.outputs):
                if v is not None and last.get(id(v), -1) <= index:
                    held.pop(id(v), None)


def _bias(node: Node) -> torch.Tensor | float:
    bias = node.optional(2)
    return 0.0 if bias is None else bias.tensor.detach().cpu().double()


def _set(value: Value, data: torch.Tensor) -> None:
    """New data; the old tensor, which other graphs share, is not written to."""
    old = value.tensor
    data = data.to(old).contiguous()
    value.data = nn.Parameter(data, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else data
