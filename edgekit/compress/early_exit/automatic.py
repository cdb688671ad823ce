"""Places by what they serve: heads at several places, and of these the few that reach the goal at the least cost."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from edgekit.compress.early_exit.calibration import fit_temperature
from edgekit.compress.early_exit.heads import attach
from edgekit.compress.early_exit.observing import held_out
from edgekit.compress.early_exit.places import Place, cost, cuts
from edgekit.compress.early_exit.policy import Goal, choose, worth
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.errors import UsageError
from edgekit.ir import Graph, Value
from edgekit.train.batches import Feeding, Samples

#: Places that are tried, evenly over the cost, and the shares of it between which they lie.
_TRIED = 6
_EARLIEST, _LATEST = 0.02, 0.85


def candidates(graph: Graph, end: Value) -> list[Place]:
    """Values that all that comes later passes through, a few of them, spread over the network's cost.

    Raises:
        UsageError: the network has no such value.
    """
    total = max(cost(end), 1)
    places = [place for place in cuts(graph, end) if _EARLIEST <= place.macs / total <= _LATEST]
    if not places:
        raise UsageError(
            "no place for an exit was found: nowhere does all that comes later pass through one value",
            where="at",
            hint='name the values: at = ["NAME"]',
        )
    if len(places) <= _TRIED:
        return places
    wanted = np.linspace(places[0].macs, places[-1].macs, _TRIED)
    nearest = [min(range(len(places)), key=lambda i: abs(places[i].macs - goal)) for goal in wanted]
    return [places[index] for index in sorted(set(nearest))]


def choose_places(
    step: EarlyExit,
    graph: Graph,
    names: Sequence[str],
    end: str,
    heads: Mapping[str, Tensor],
    samples: Samples,
    feeding: Feeding,
    root: Path | None,
) -> tuple[list[str], dict[str, Tensor]]:
    """Of trained heads at all candidates those of the best set, renamed as they are attached in the end.

    Sets of up to ``step.exits`` are compared by what their best thresholds reach on what is held out.
    """
    whole = copy.deepcopy(graph)
    values = {value.name: value for value in whole.values()}
    logits = attach(
        whole,
        [values[name] for name in names],
        int(values[end].tensor_shape[1]),
        step.heads([0] * len(names)),
        step.settings().seed,
    )
    for name, tensor in heads.items():
        whole.state[name].tensor.data.copy_(tensor)
    observed = held_out(step, whole, [*logits, values[end]], samples, feeding, root)
    temperatures = [fit_temperature(z.double().numpy(), observed.labels) for z in observed.logits[:-1]]
    total = max(graph.macs, 1)
    up_to = [cost(values[name]) for name in names]
    of_heads = [cost(head) - before for head, before in zip(logits, up_to, strict=True)]
    goal = Goal.of(step)
    best: tuple[tuple[float, float], tuple[int, ...]] | None = None
    for size in range(1, min(step.exits, len(names)) + 1):
        for chosen in itertools.combinations(range(len(names)), size):
            spent = np.cumsum([of_heads[index] for index in chosen])
            costs = [(up_to[i] + more) / total for i, more in zip(chosen, spent, strict=True)] + [
                (graph.macs + spent[-1]) / total
            ]
            seen = observed.seen(step.score, [temperatures[i] for i in chosen], costs, chosen)
            value = worth(seen, goal, choose(seen, goal))
            if best is None or value < best[0]:
                best = value, chosen
    assert best is not None
    kept = {index: number for number, index in enumerate(best[1])}
    renamed = {}
    for name, tensor in heads.items():
        prefix, index, *rest = name.split(".")
        if int(index) in kept:
            renamed[".".join([prefix, str(kept[int(index)]), *rest])] = tensor
    return [names[index] for index in best[1]], renamed
