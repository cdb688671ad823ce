"""What the step ``supermask`` does: weights drawn, masks learned, and networks without a mask put beside the result."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from edgekit.compress.context import Context
from edgekit.compress.lottery.agnostic import WeightAgnostic
from edgekit.compress.lottery.scores import Learning, Scores
from edgekit.compress.lottery.supermask import SCORES, Supermask
from edgekit.compress.lottery.variants import signed_constants
from edgekit.compress.recording import recorded
from edgekit.compress.scoring import score
from edgekit.compress.sparsify.application import NOT_FASTER
from edgekit.compress.sparsify.weights import find_weights
from edgekit.data import Data
from edgekit.ir import Graph, ops
from edgekit.train.fresh import untrained
from edgekit.train.loop import train

_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)


def supermask(step: Supermask, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Supermask.apply``."""
    started = time.perf_counter()
    chosen, declined = find_weights(graph, step.layers, step.keep)
    names = list(chosen)
    evaluate = data.evaluate if isinstance(data, Data) else None
    first = _prepared(step, graph, names)
    settings = replace(step.training or SCORES[step.method], epochs=step.epochs)
    learning = Learning(step.method, 0.5 if step.sparsity is None else step.sparsity, step.rescale, step.seed)
    shared = step.shared if step.weights == "shared" else ()
    trained = train(
        _alone_trainable(first, names),
        data,
        settings,
        folder=context.inside("scores").folder,
        say=context.say,
        root=context.root,
        rule=lambda student: Scores(student, names, learning, shared),
    )
    found = _trainable_as(trained.graph, first)
    details: dict[str, Any] = {"untrained": score(first, evaluate, context.root), **trained.details()}
    notes: tuple[str, ...] = ()
    if shared:
        agnostic = WeightAgnostic(found, names, shared, data, settings, context)
        found, notes = agnostic.tuned, agnostic.notes
        details["one_weight"] = agnostic.details
    details["zeros"] = {name: [int((w == 0).sum()), w.numel()] for name, w in _weights(found, names)}
    details["sparsity"] = sum(zeros for zeros, _ in details["zeros"].values()) / sum(n for _, n in details["zeros"].values())
    details["supermask"] = score(found, evaluate, context.root)
    found.source = graph.source
    return recorded(
        "supermask", step, graph, found, started, declined=declined, warnings=(NOT_FASTER,), notes=notes, details=details
    )


def _prepared(step: Supermask, graph: Graph, names: Sequence[str]) -> Graph:
    """The network that is masked: its weights as ``step.weights`` says, and no biases."""
    first = untrained(graph, step.seed) if step.fresh else copy.deepcopy(graph)
    with torch.no_grad():
        for node in first.nodes:
            bias = node.optional(2) if isinstance(node.op, _WEIGHTED) else None
            if bias is not None and bias.is_constant:
                bias.tensor.zero_()
        if step.weights == "shared":
            for _, weight in _weights(first, names):
                weight.fill_(step.shared[0] * weight[0].numel() ** -0.5)
    return signed_constants(first, list(names)) if step.weights == "signed_constant" else first


def _alone_trainable(graph: Graph, names: Sequence[str]) -> Graph:
    """A copy in which nothing but these weights takes part in the training: scores stand in their place there."""
    twin = copy.deepcopy(graph)
    for name, value in twin.state.items():
        if name not in names and isinstance(value.data, torch.nn.Parameter):
            value.data.requires_grad_(False)
    return twin


def _trainable_as(graph: Graph, given: Graph) -> Graph:
    """The graph, whose parameters are trainable again where those of the given one are."""
    for name, value in given.state.items():
        mine = graph.state[name].data
        if isinstance(value.data, torch.nn.Parameter) and isinstance(mine, torch.nn.Parameter):
            mine.requires_grad_(value.data.requires_grad)
    return graph


def _weights(graph: Graph, names: Sequence[str]) -> list[tuple[str, torch.Tensor]]:
    return [(name, graph.state[name].tensor.detach()) for name in names]
