"""Which weights go: those of least magnitude, and an exact number of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def masks(weights: Mapping[str, Tensor], share: float, *, over_all: bool, dead: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """True where a weight lives on.

    Args:
        weights: by name.
        share: of zeros, from 0 to 1: round(share * n) of n weights, and never fewer than are dead.
        over_all: one ranking for all weights together; otherwise one for each.
        dead: True where a weight is zero already and stays so; all that live where a name is missing.

    Returns:
        Bool masks of the weights' shapes. Of equal magnitudes the first in order of names and places goes first.
    """
    ranks = {name: _magnitudes(weight, dead.get(name)) for name, weight in weights.items()}
    if not over_all:
        return {name: _living(rank, share).view(weights[name].shape) for name, rank in ranks.items()}
    together = _living(torch.cat(list(ranks.values())), share)
    parts = torch.split(together, [len(rank) for rank in ranks.values()])
    return {name: part.view(weights[name].shape).clone() for name, part in zip(ranks, parts, strict=True)}


def moved(alive: Tensor, scores: Tensor, dead: Tensor | None) -> Tensor:
    """As many living weights as in a mask, but those of the highest scores; never a dead one."""
    rank = _magnitudes(scores, dead)
    return _living(rank, 1 - int(alive.sum()) / len(rank)).view(alive.shape)


def _magnitudes(weight: Tensor, dead: Tensor | None) -> Tensor:
    """Flat, in float64 (one element type for one ranking); below all others where a weight is dead."""
    rank = weight.detach().cpu().double().abs().flatten()
    return rank if dead is None else rank.masked_fill(dead.cpu().flatten(), -1.0)


def _living(rank: Tensor, share: float) -> Tensor:
    count = max(round(share * len(rank)), int((rank < 0).sum()))
    alive = torch.ones(len(rank), dtype=torch.bool)
    alive[torch.argsort(rank, stable=True)[:count]] = False
    return alive
