"""Similarity-preserving distillation: samples that are alike for the teacher are alike for the student.

Formula: G = F F^T with F the features flattened to (b, chw), every row of G divided by its L2 norm;
L = ||G_t - G_s||_F^2 / b^2. Source: Tung, Mori 2019, arXiv:1907.09682, equations 1 to 4, with weight 3000.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.train.distillation.precision import wide


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The loss above. The shapes may differ beyond axis 0.

    Args:
        student: features (b, ...).
        teacher: features (b, ...); no gradient flows into them.

    Returns:
        A scalar; 0 for a batch of one sample.
    """
    with torch.no_grad():
        wanted = _similarities(teacher)
    return (wanted - _similarities(student)).square().mean()


def _similarities(features: Tensor) -> Tensor:
    flat = wide(features).flatten(1)
    return F.normalize(flat @ flat.T, dim=1)
