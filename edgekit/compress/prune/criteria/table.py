"""The table of criteria, and what a criterion may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.groups import Group, Place

#: One number per channel of a group.
Scores = NDArray[np.float64]


class NotDefined(Exception):
    """A criterion says nothing about a group: the reason is shown, and the group is left alone."""


@dataclass
class Evidence:
    """What criteria look at: the analysed graph, batches of inputs, labels for each batch (None without), a seed, and the name
    of the loss as in ``Training.loss``.
    """

    analysis: Analysis
    batches: list[list[torch.Tensor]]
    labels: list[torch.Tensor] | None = None
    seed: int = 0
    loss: str = "auto"


#: Scores every group; the lowest scores go first. A group may raise ``NotDefined`` through its entry.
Criterion = Callable[[list[Group], Evidence], list[Scores | NotDefined]]

CRITERIA: dict[str, Criterion] = {}
_F = TypeVar("_F", bound=Criterion)


def criterion(name: str) -> Callable[[_F], _F]:
    """Enters a criterion under its name in recipes."""

    def enter(function: _F) -> _F:
        CRITERIA[name] = function
        return function

    return enter


def filters(place: Place) -> torch.Tensor | None:
    """The weights that make each index of a place, as rows; None for biases, norms and other constants of rank one."""
    if not place.makes or place.value.type.rank < 2:
        return None
    return place.value.tensor.detach().movedim(place.axis, 0).flatten(1).double()


def per_channel(scores: torch.Tensor, place: Place, count: int) -> Scores:
    """Scores of indices summed over the channel that they belong to (a head's rows, an LSTM unit's gates)."""
    out = np.zeros(count)
    np.add.at(out, place.channel, scores.numpy(force=True)[place.index])
    return out


def normalised(scores: Scores) -> Scores:
    """Divided by their mean, so that layers of different size can be added and compared."""
    mean = float(scores.mean())
    return scores / mean if mean > 0 else scores


def each(groups: list[Group], score: Callable[[Group], Scores]) -> list[Scores | NotDefined]:
    """One group after the other."""
    out: list[Scores | NotDefined] = []
    for group in groups:
        try:
            out.append(score(group))
        except NotDefined as reason:
            out.append(reason)
    return out


def over_layers(group: Group, index_scores: Callable[[torch.Tensor], torch.Tensor]) -> Scores:
    """Sum over all layers that make the group's channels, each normalised by its mean."""
    total = np.zeros(len(group))
    for place in group.made:
        rows = filters(place)
        if rows is not None:
            total += normalised(per_channel(index_scores(rows), place, len(group)))
    return total
