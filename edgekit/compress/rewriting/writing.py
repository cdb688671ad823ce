"""Putting chains of factors in the place of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from edgekit.compress.rewriting.factorization import Factorization, Factors, Rank
from edgekit.compress.rewriting.layer import Layer
from edgekit.compress.rewriting.recurrent import write_input
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.ops.base import Op

_ACTIVATIONS: dict[str, type[Op]] = {"relu": ops.Relu, "relu6": ops.Relu6}


@dataclass(frozen=True, eq=False)
class Rewrite:
    """What becomes of one layer. ``factors`` are rounded to the weight's type, in double precision."""

    how: Factorization
    rank: Rank
    factors: Factors

    @property
    def layer(self) -> Layer:
        """The layer, in the graph before."""
        return self.how.layer


@dataclass(eq=False)
class Chain:
    """A rewritten layer in the graph after: the nodes of its last factor and the batch norms between, one a call.

    A recurrent layer has none: its last factor is inside.
    """

    rewrite: Rewrite
    last: list[Node] = field(default_factory=list)
    norms: list[Node] = field(default_factory=list)


def write(graph: Graph, rewrites: Sequence[Rewrite], between: str = "none") -> tuple[Graph, list[Chain]]:
    """A copy of the graph with the layers rewritten.

    Args:
        graph: is left as it is.
        rewrites: of different layers of it.
        between: behind the first factor: "none", "bn", "relu", "relu6", "bn_relu" or "bn_relu6". A batch norm is the
            identity in evaluation mode until it is trained.
    """
    small = graph.copy()
    node_of = dict(zip((id(n) for n in graph.nodes), small.nodes, strict=True))
    value_of = dict(zip((id(v) for v in graph.values()), small.values(), strict=True))
    chains = []
    for rewrite in rewrites:
        layer = rewrite.layer
        old, nodes = [value_of[id(w)] for w in layer.weights], [node_of[id(n)] for n in layer.nodes]
        chain = Chain(rewrite)
        chains.append(chain)
        if layer.is_recurrent:
            write_input(small, layer, old, nodes, *rewrite.factors)
            continue
        weights, norm = _constants(small, old[0], rewrite, between)
        for node in nodes:
            _replace(small, node, weights, norm, between, chain)
    small.verify()
    return small, chains


def _replace(graph: Graph, node: Node, weights: Sequence[Value], norm: Sequence[Value], between: str, chain: Chain) -> None:
    how, value = chain.rewrite.how, node.input(0)
    if (copies := how.copies(chain.rewrite.rank)) > 1:
        value = graph.add(ops.Concat(axis=1), *[value] * copies, name=f"{node.name}_copies", where=node.where, before=node)
    steps = list(zip(how.ops(node, chain.rewrite.rank), how.roles, weights, strict=True))
    for index, (op, role, weight) in enumerate(steps):
        bias = node.optional(2) if index == len(steps) - 1 else None
        inputs = (value, weight) if bias is None else (value, weight, bias)
        value = graph.add(op, *inputs, name=f"{node.name}_{role}", where=node.where, before=node)
        if index == 0 and norm:
            value = graph.add(ops.BatchNorm(), value, *norm, name=f"{node.name}_bn", where=node.where, before=node)
            assert value.producer is not None
            chain.norms.append(value.producer)
        if index == 0 and (activation := between.removeprefix("bn_")) in _ACTIVATIONS:
            op = _ACTIVATIONS[activation]()
            value = graph.add(op, value, name=f"{node.name}_{activation}", where=node.where, before=node)
    assert value.producer is not None
    chain.last.append(value.producer)
    graph.replace(node.output, value)
    graph.remove(node)


def _constants(graph: Graph, old: Value, rewrite: Rewrite, between: str) -> tuple[list[Value], list[Value]]:
    """The factors' weights and what the batch norm between reads; they take the old weight's place in the state."""
    names = tuple(name for name, v in graph.state.items() if v is old)
    stems = [_stem(name) for name in names] or [_stem(old.name)]
    taken = {name for name, v in graph.state.items() if v is not old}

    def free(role: str) -> str:
        count, wish = 0, role
        while any(
            name.startswith(_joined(stem, wish) + ".") or name == _joined(stem, wish) for stem in stems for name in taken
        ):
            count += 1
            wish = f"{role}_{count}"
        return wish

    fresh: dict[str, Value] = {}
    in_state = bool(names)

    def make(role: str, leaf: str, data: torch.Tensor, trainable: bool) -> Value:
        data = data.to(old.tensor).contiguous()
        grad = old.tensor.requires_grad
        value = graph.constant(
            nn.Parameter(data, requires_grad=grad) if trainable else data, f"{_joined(stems[0], role)}.{leaf}"
        )
        if in_state:
            for stem in stems:
                fresh[f"{_joined(stem, role)}.{leaf}"] = value
        return value

    weights, norm = [], []
    for index, (role, factor) in enumerate(zip(rewrite.how.roles, rewrite.factors, strict=True)):
        weights.append(make(free(role), "weight", factor, old.is_trainable))
        if index == 0 and between.startswith("bn"):
            role, ones = free("bn"), torch.ones(len(factor))
            norm = [
                make(role, "weight", ones * (1 + ops.BatchNorm().eps) ** 0.5, old.is_trainable),
                make(role, "bias", 0 * ones, old.is_trainable),
                make(role, "running_mean", 0 * ones, False),
                make(role, "running_var", ones, False),
            ]
    if in_state:
        graph.state = _with(graph.state, old, fresh)
    return weights, norm


def _with(state: dict[str, Value], old: Value, fresh: dict[str, Value]) -> dict[str, Value]:
    """The state with ``fresh`` where the first name of ``old`` was."""
    out: dict[str, Value] = {}
    for name, value in state.items():
        if value is not old:
            out[name] = value
        elif not fresh.keys() & out.keys():
            out.update(fresh)
    return out


def _stem(name: str) -> str:
    """``conv1.weight`` -> ``conv1``; a parameter of another name stands for itself."""
    return "" if name == "weight" else name.removesuffix(".weight")


def _joined(stem: str, role: str) -> str:
    return f"{stem}.{role}" if stem else role
