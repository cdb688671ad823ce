"""What the step ``sparsify`` does: weights ranked, set to zero, the others trained, round after round."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import torch

from edgekit.compress.context import Context
from edgekit.compress.recording import recorded
from edgekit.compress.sparsify.held import held
from edgekit.compress.sparsify.ranking import masks, moved
from edgekit.compress.sparsify.size import compressed_sizes
from edgekit.compress.sparsify.step import Sparsify
from edgekit.compress.sparsify.surroundings import scores, without
from edgekit.compress.sparsify.weights import find_weights
from edgekit.compress.tuning import tune
from edgekit.ir import Graph
from edgekit.train.masks import Masks
from edgekit.train.settings import Training

#: Said of every sparse network.
NOT_FASTER = (
    "zeros among the weights make no dense kernel faster and no artifact smaller: latency, memory and MACs stay; only what "
    "compresses the file gains. 'prune' removes whole channels"
)


def sparsify(step: Sparsify, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Sparsify.apply``."""
    started = time.perf_counter()
    chosen, declined = find_weights(graph, step.layers, step.keep)
    settings = replace(step.training or Training(), epochs=step.epochs)
    before = _zeros(graph, list(chosen))
    sizes = compressed_sizes(value.tensor for value in chosen.values())
    current = copy.deepcopy(graph)  # weights too: a graph's own copy shares them
    alive = held(graph)
    warnings: list[str] = []
    notes: list[str] = []
    rounds: list[dict[str, Any]] = []
    for number in range(1, step.rounds + 1):
        weights = {name: current.state[name].tensor.detach() for name in chosen}
        dead = {name: ~mask for name, mask in alive.items()}
        alive |= masks(weights, step.share(number), over_all=step.scope == "global", dead=dead)
        if step.neighbours:
            around = {name: scores(current.state[name], step.neighbours) for name in chosen}
            alive |= {name: moved(alive[name], by, dead.get(name)) for name, by in around.items() if by is not None}
        Masks(current, alive).weights()
        row: dict[str, Any] = {"sparsity": _share(current, list(chosen))}
        if step.epochs:
            tuned = tune(current, data, settings, step.distillation, context.inside(f"round-{number}"), alive)
            current = tuned.trained.graph
            warnings, notes = [*warnings, *tuned.warnings], [*notes, *tuned.notes]
            row |= tuned.details()
        rounds.append(row)
    zeros = _zeros(current, list(chosen))
    empty = [name for name, (count, size) in zeros.items() if count == size]
    if empty:
        warnings.append(f"no weight is left in {', '.join(empty)}: what it computes no longer depends on its input")
    if step.neighbours and (alone := without(chosen)):
        notes.append(f"each weight counts for itself, without those around, in {', '.join(alone)}")
    details = {
        "sparsity": _share(current, list(chosen)),
        "zeros": zeros,
        "zeros_before": before,
        "compressed_bytes_before": sizes,
        "compressed_bytes": compressed_sizes(current.state[name].tensor for name in chosen),
        "rounds": rounds,
    }
    said, told = (NOT_FASTER, *warnings), tuple(notes)
    return recorded("sparsify", step, graph, current, started, declined=declined, warnings=said, notes=told, details=details)


def _zeros(graph: Graph, names: list[str]) -> dict[str, list[int]]:
    """For each weight: how many of its numbers are zero, and of how many."""
    tensors = {name: graph.state[name].tensor.detach() for name in names}
    return {name: [int(torch.count_nonzero(t == 0)), t.numel()] for name, t in tensors.items()}


def _share(graph: Graph, names: list[str]) -> float:
    counts = list(_zeros(graph, names).values())
    return sum(zeros for zeros, _ in counts) / max(sum(size for _, size in counts), 1)
