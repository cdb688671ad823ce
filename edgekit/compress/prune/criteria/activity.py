"""How often a channel is switched off."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.compress.prune.criteria.table import Evidence, NotDefined, Scores, criterion
from edgekit.compress.prune.groups import Group
from edgekit.ir import Value, ops


@criterion("apoz")
def apoz(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """Share of positions, over all samples, where the channel is not zero behind its relu (Hu et al. 2016, arXiv:1607.03250,
    the complement of the average percentage of zeros: what is most often zero goes first).
    """
    active = _active_share(evidence)
    analysis = evidence.analysis
    out: list[Scores | NotDefined] = []
    for group in groups:
        place_of = {root: i for i, root in enumerate(group.roots.tolist())}
        total, count = np.zeros(len(group)), np.zeros(len(group))
        for value, axis, share in active:
            for root, part in zip(analysis.roots(value, axis).tolist(), share.tolist(), strict=True):
                if root in place_of:
                    total[place_of[root]] += part
                    count[place_of[root]] += 1
        if count.all():
            out.append(total / count)
        else:
            out.append(NotDefined("no relu follows: 'apoz' says nothing about it"))
    return out


def _active_share(evidence: Evidence) -> list[tuple[Value, int, torch.Tensor]]:
    """For each axis of channels behind a relu, the share of elements that are not zero, per index."""
    graph, coupling = evidence.analysis.graph, evidence.analysis.coupling
    watched = {
        id(node.output): [axis for axis in range(node.output.type.rank) if coupling.has_free(coupling.axis(node.output, axis))]
        for node in graph.nodes
        if isinstance(node.op, ops.Relu | ops.Relu6) or node.attrs.get("activation") in ("relu", "relu6")
    }
    sums: dict[tuple[int, int], torch.Tensor] = {}
    values: dict[int, Value] = {}

    def observe(value: Value, tensor: torch.Tensor) -> None:
        for axis in watched.get(id(value), ()):
            values[id(value)] = value
            active = (tensor != 0).double().movedim(axis, 0).flatten(1).mean(1)
            active = active.reshape(-1, len(coupling.axis(value, axis))).mean(0)  # channels that were merged with the batch
            sums[id(value), axis] = sums.get((id(value), axis), torch.zeros(())) + active / len(evidence.batches)

    module = graph.module().eval()
    with torch.no_grad():
        for batch in evidence.batches:
            module.run(batch, observe)
    return [(values[key], axis, share) for (key, axis), share in sums.items()]
