"""Attention transfer: the student looks where its teacher looks.

Formula: Q(F) = vec(sum_c |F_c|^p), one number a position; L = mean((Q(F_s) / ||Q(F_s)||_2 - Q(F_t) / ||Q(F_t)||_2)^2) over
samples and positions, p = 2. This is the authors' code (weight 1000); the paper writes (beta / 2) * ||difference||_2 instead of
the mean square. Where the two maps Q have different sizes the larger one is averaged down to the smaller.
Source: Zagoruyko, Komodakis 2017, arXiv:1612.03928, section 3.1; github.com/szagoruyko/attention-transfer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from edgekit.train.distillation.precision import wide

_POOLS: dict[int, Callable[..., Tensor]] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def attention_map(features: Tensor, power: float = 2.0, axis: int = 1) -> Tensor:
    """sum_c |F_c|^power: (N, C, ...) -> (N, ...).

    Raises:
        ValueError: there are no positions beside samples and channels.
    """
    if not 3 <= features.dim() <= 5:
        raise ValueError(f"attention is spread over positions, and features of shape {tuple(features.shape)} have none")
    return wide(features).abs().pow(power).sum(axis)


def attention_loss(student: Tensor, teacher: Tensor, *, power: float = 2.0, axis: int = 1) -> Tensor:
    """The loss above. Numbers of channels may differ, and sizes.

    Args:
        student: features (N, C, ...) with one to three axes of positions.
        teacher: features of as many axes; no gradient flows into them.
        power: p.
        axis: of the channels, in both.

    Returns:
        A scalar.

    Raises:
        ValueError: no positions, or another number of axes.
    """
    mine, wanted = attention_map(student, power, axis), attention_map(teacher.detach(), power, axis)
    if mine.dim() != wanted.dim():
        raise ValueError(f"features of shapes {tuple(student.shape)} and {tuple(teacher.shape)}")
    sizes = [min(pair) for pair in zip(mine.shape[1:], wanted.shape[1:], strict=True)]
    return (_spread(mine, sizes) - _spread(wanted, sizes)).square().mean()


def _spread(attended: Tensor, sizes: list[int]) -> Tensor:
    """The map at this size as one vector of length 1 a sample."""
    if list(attended.shape[1:]) != sizes:
        pool = _POOLS[len(sizes)]
        attended = pool(attended.unsqueeze(1), sizes).squeeze(1)
    return F.normalize(attended.flatten(1), dim=1)
