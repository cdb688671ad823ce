"""Norms of filters."""

from __future__ import annotations

from edgekit.compress.prune.criteria.table import Evidence, NotDefined, Scores, criterion, each, over_layers
from edgekit.compress.prune.groups import Group


@criterion("l1")
def l1(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """Sum of |w| over the filter (Li et al. 2017, arXiv:1608.08710), over all layers coupled to the channel."""
    return each(groups, lambda group: over_layers(group, lambda rows: rows.abs().sum(1)))


@criterion("l2")
def l2(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """Euclidean norm of the filter."""
    return each(groups, lambda group: over_layers(group, lambda rows: rows.square().sum(1).sqrt()))
