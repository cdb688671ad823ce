"""Network Slimming's measure."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.criteria.table import Evidence, NotDefined, Scores, criterion, each, normalised, per_channel
from edgekit.compress.prune.groups import Group
from edgekit.ir import ops


@criterion("bn_scale")
def bn_scale(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """|gamma| of the batch norms behind the channel (Liu et al. 2017, arXiv:1708.06519), after training with an L1 term
    on it.
    """
    return each(groups, _scales)


def _scales(group: Group) -> Scores:
    total, found = np.zeros(len(group)), False
    for place in group.places:
        if any(isinstance(node.op, ops.BatchNorm) and node.optional(1) is place.value for node in place.value.users):
            total += normalised(per_channel(place.value.tensor.detach().abs().double(), place, len(group)))
            found = True
    if not found:
        raise NotDefined("no batch norm with a scale follows: 'bn_scale' says nothing about it")
    return total
