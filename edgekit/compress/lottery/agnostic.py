"""One value for all connections under a learned mask: every value of the series, their ensemble, and the best value."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from edgekit.compress.context import Context
from edgekit.compress.distill.ensemble_graph import ensemble_graph
from edgekit.compress.scoring import score
from edgekit.data import Data
from edgekit.ir import Graph
from edgekit.train.settings import Training
from edgekit.train.validation import held_out

#: Values tried between two of the series when the best is looked for: they divide the way between in equal factors or steps.
BETWEEN = 3


class WeightAgnostic:
    """What a mask is worth at other values than the one that it is shown with (arXiv:1906.04358, section 4).

    Attributes:
        tuned: the network with the value that does best on the part held out; with the first one where nothing was held out.
        details: ``values``: value and metrics of each; ``mean`` of those metrics; ``ensemble``: metrics of the mean of all
            networks' outputs; ``tuned``: value and metrics of the best one.
        notes: what could not be done.
    """

    def __init__(
        self,
        found: Graph,
        names: Sequence[str],
        shared: Sequence[float],
        data: object | None,
        settings: Training,
        context: Context,
    ) -> None:
        """Measures.

        Args:
            found: the network under its mask, with ``shared[0]``; is left as it is.
            names: of the masked weights.
            shared: the series.
            data: as the step was given it.
            settings: of the training: its part held out is what the value is tuned on.
            context: of the step.
        """
        evaluate = data.evaluate if isinstance(data, Data) else None
        networks = {value: _with_value(found, names, value / shared[0]) for value in shared}
        rows = {value: score(network, evaluate, context.root) for value, network in networks.items()}
        metrics = next(iter(rows.values()))
        self.details: dict[str, Any] = {
            "values": [{"value": value, **row} for value, row in rows.items()],
            "mean": {name: sum(row[name] for row in rows.values()) / len(rows) for name in metrics},
            "ensemble": score(ensemble_graph(list(networks.values())), evaluate, context.root),
        }
        self.notes: tuple[str, ...] = ()
        best, rank = shared[0], None
        for value in candidates(shared):
            epoch = held_out(_with_value(found, names, value / shared[0]), data, settings, context.root)
            if epoch is None:
                self.notes = ("the shared value was not tuned: nothing was held out of the training data",)
                break
            found_rank = epoch[0] or 0.0, epoch[1]
            if rank is None or found_rank > rank:
                best, rank = value, found_rank
        self.tuned = _with_value(found, names, best / shared[0])
        self.details["tuned"] = {"value": best, **score(self.tuned, evaluate, context.root)}


def candidates(shared: Sequence[float]) -> list[float]:
    """The series with values between its neighbours, ascending."""
    ordered = sorted(set(shared))
    found = list(ordered)
    for low, high in pairwise(ordered):
        for number in range(1, BETWEEN + 1):
            part = number / (BETWEEN + 1)
            found.append(low * (high / low) ** part if low * high > 0 else low + (high - low) * part)
    return sorted(value for value in found if value)


def _with_value(graph: Graph, names: Sequence[str], factor: float) -> Graph:
    twin = copy.deepcopy(graph)
    with torch.no_grad():
        for name in names:
            twin.state[name].tensor.mul_(factor)
    return twin
