"""Knowledge distillation: one small file for each loss, and the objective that puts them together.

The losses are plain functions of tensors, looked up on first use, so that ``Distillation`` and ``Hint`` load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgekit.train.distillation.settings import Distillation, Hint

if TYPE_CHECKING:
    from edgekit.train.distillation.attention import attention_loss
    from edgekit.train.distillation.hint import hint_loss, regressor
    from edgekit.train.distillation.mimic import mimic_loss
    from edgekit.train.distillation.mutual import binary_mutual_loss, mutual_loss
    from edgekit.train.distillation.relational import relational_angle_loss, relational_distance_loss, relational_loss
    from edgekit.train.distillation.similarity import similarity_loss
    from edgekit.train.distillation.soft_targets import binary_soft_target_loss, soft_target_loss

_HOME = {
    "attention_loss": "attention",
    "binary_mutual_loss": "mutual",
    "binary_soft_target_loss": "soft_targets",
    "hint_loss": "hint",
    "mimic_loss": "mimic",
    "mutual_loss": "mutual",
    "regressor": "hint",
    "relational_angle_loss": "relational",
    "relational_distance_loss": "relational",
    "relational_loss": "relational",
    "similarity_loss": "similarity",
    "soft_target_loss": "soft_targets",
}

__all__ = [
    "Distillation",
    "Hint",
    "attention_loss",
    "binary_mutual_loss",
    "binary_soft_target_loss",
    "hint_loss",
    "mimic_loss",
    "mutual_loss",
    "regressor",
    "relational_angle_loss",
    "relational_distance_loss",
    "relational_loss",
    "similarity_loss",
    "soft_target_loss",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
