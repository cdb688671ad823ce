"""What the loss would lose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from edgekit.compress.prune.criteria.table import Evidence, NotDefined, Scores, criterion, normalised, per_channel
from edgekit.compress.prune.groups import Group
from edgekit.errors import UsageError
from edgekit.ir import Value
from edgekit.train.objective import Pass
from edgekit.train.task_loss import TaskLoss


@criterion("taylor")
def taylor(groups: list[Group], evidence: Evidence) -> list[Scores | NotDefined]:
    """(sum over the channel's weights of gradient * weight)^2, the first-order change of the loss when they become zero
    (Molchanov et al. 2019, arXiv:1906.10771, eq. 8), averaged over batches.

    The loss is that of training: by default cross entropy of the logits for integer labels and mean squared error for others.

    Raises:
        InputError: labels that do not fit the outputs.
    """
    if evidence.labels is None:
        raise UsageError(
            "criterion 'taylor' needs labels",
            where="prune: criterion",
            hint="give data whose training part has inputs and labels",
        )
    module = evidence.analysis.graph.module().eval()
    loss_of = TaskLoss(evidence.analysis.graph, evidence.loss)
    parameters = [p for p in module.parameters() if p.is_floating_point()]
    needed = [p.requires_grad for p in parameters]
    totals = [np.zeros(len(group)) for group in groups]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for batch, labels in zip(evidence.batches, evidence.labels, strict=True):
            features: dict[str, torch.Tensor] = {}

            def observe(value: Value, tensor: torch.Tensor, seen: dict[str, torch.Tensor] = features) -> None:
                if value.name in loss_of.watches:
                    seen[value.name] = tensor

            loss = loss_of(Pass(batch, labels, module.run(batch, observe), features, 0))["task"]
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            by_tensor = {id(p): g for p, g in zip(parameters, gradients, strict=True)}
            for total, group in zip(totals, groups, strict=True):
                total += _squared_change(group, by_tensor)
    finally:
        for parameter, need in zip(parameters, needed, strict=True):
            parameter.requires_grad_(need)
    return [normalised(total) for total in totals]


def _squared_change(group: Group, gradients: Mapping[int, torch.Tensor | None]) -> Scores:
    change = np.zeros(len(group))
    for place in group.made:
        gradient = gradients.get(id(place.value.tensor))
        if gradient is not None:
            products = (place.value.tensor.detach() * gradient).double().movedim(place.axis, 0).flatten(1).sum(1)
            change += per_channel(products, place, len(group))
    return np.square(change)
