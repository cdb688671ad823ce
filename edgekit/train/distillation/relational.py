"""Relational knowledge distillation: distances and angles between the samples of a batch, as the teacher sees them.

Formulas, with embeddings e_i and l the Huber loss with delta 1:
distance: L = mean over all i, j of l(psi_t(i, j), psi_s(i, j)), psi(i, j) = ||e_i - e_j|| / mu, mu the mean of the distances
that are above zero, each network's own.
angle: L = mean over all i, j, k of l(cos_t(i, j, k), cos_s(i, j, k)), the angle at j: cos = <u_ij, u_kj>,
u_ij = (e_i - e_j) / ||e_i - e_j||, which is zero for i = j.
Source: Park, Kim, Lu, Cho 2019, arXiv:1904.05068, section 3.2, with weights 25 (distance) and 50 (angle);
github.com/lenscloth/RKD. Meant for the embedding before the classifier: the angles of N samples take N^3 numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.train.distillation.precision import wide

#: Below this a squared distance is none: the root's gradient would be infinite there.
_NOTHING = 1e-12


def relational_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The distance loss above. The shapes may differ beyond axis 0.

    Args:
        student: embeddings (N, ...), flattened to (N, D).
        teacher: embeddings (N, ...); no gradient flows into them.

    Returns:
        A scalar; 0 for a batch of one sample.
    """
    with torch.no_grad():
        wanted = _relative_distances(teacher)
    return F.smooth_l1_loss(_relative_distances(student), wanted)


def relational_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The angle loss above; arguments and result as in :func:`relational_distance_loss`."""
    with torch.no_grad():
        wanted = _cosines(teacher)
    return F.smooth_l1_loss(_cosines(student), wanted)


def relational_loss(student: Tensor, teacher: Tensor, *, distance: float = 25.0, angle: float = 50.0) -> Tensor:
    """Both, with their weights."""
    return distance * relational_distance_loss(student, teacher) + angle * relational_angle_loss(student, teacher)


def _differences(embeddings: Tensor) -> Tensor:
    """e_i - e_j at [i, j], of shape (N, N, D)."""
    flat = wide(embeddings).flatten(1)
    return flat.unsqueeze(1) - flat.unsqueeze(0)


def _lengths(differences: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths (N, N) with a gradient that is finite everywhere, and which of them are above zero."""
    squares = differences.square().sum(-1)
    some = squares > _NOTHING
    return torch.where(some, squares, squares.new_ones(())).sqrt() * some, some


def _relative_distances(embeddings: Tensor) -> Tensor:
    lengths, some = _lengths(_differences(embeddings))
    return lengths / (lengths.sum() / some.sum().clamp_min(1)).clamp_min(_NOTHING)


def _cosines(embeddings: Tensor) -> Tensor:
    differences = _differences(embeddings)
    lengths, some = _lengths(differences)
    units = differences / torch.where(some, lengths, lengths.new_ones(())).unsqueeze(-1) * some.unsqueeze(-1)
    return torch.einsum("ijd,kjd->jik", units, units)
