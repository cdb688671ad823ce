"""Filters that others can replace."""

from __future__ import annotations

import torch

from edgekit.compress.prune.criteria.table import Evidence, NotDefined, Scores, criterion, each, over_layers
from edgekit.compress.prune.groups import Group


@criterion("fpgm")
def fpgm(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """Sum over the layer's filters j of ||w_i - w_j||_2 (He et al. 2019, arXiv:1811.00250): the smallest sums, nearest the
    geometric median, go first.
    """
    return each(groups, lambda group: over_layers(group, lambda rows: torch.cdist(rows, rows).sum(1)))
