"""The labelled samples of a batch: those without label have no part in the task's loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from edgekit.train.batches import UNLABELLED
from edgekit.train.objective import Pass


def labelled_part(step: Pass, outputs: Sequence[int], features: Mapping[str, int]) -> Pass | None:
    """The batch without the samples whose integer label is -100; None where nothing is left.

    Args:
        step: the batch.
        outputs: axis of the samples in each output.
        features: axis of the samples in each feature that the task's loss looks at; others are left out.

    A batch of which all samples are labelled comes back as it is, as does one with float targets or with several.
    """
    target = step.targets
    if target is None or target.is_floating_point() or target.dim() == 0 or step.further_targets:
        return step
    unknown = (target.long() == UNLABELLED).reshape(len(target), -1).all(1)
    if not bool(unknown.any()):
        return step
    if bool(unknown.all()):
        return None
    rows = (~unknown).nonzero()[:, 0]
    return dataclasses.replace(
        step,
        targets=target[rows],
        outputs=[torch.index_select(o, axis, rows) for o, axis in zip(step.outputs, outputs, strict=True)],
        features={name: torch.index_select(step.features[name], axis, rows) for name, axis in features.items()},
    )
