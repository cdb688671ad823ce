"""The step that training starts from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgekit.ir.learned_step import SMALLEST_STEP

#: How the steps of weights start. "auto": "lsq" below 8 bits, else "max".
STARTS = ("auto", "lsq", "max", "mse")

#: Shares of the largest magnitude that "mse" tries.
_SHARES = torch.linspace(0.2, 1.0, 81, dtype=torch.float64)


def initial_steps(weight: Tensor, axis: int | None, least: int, most: int, start: str) -> Tensor:
    """One step per index along ``axis``, or one for all.

    "lsq" is 2 mean|w| / sqrt(Q_P) (arXiv:1902.08153, section 2.1), made for the coarse grids whose ends clip; at 8 bits it is
    five times coarser than the weights need. "max" lets the largest magnitude be the largest integer, as calibration does.
    "mse" has the least sum of squared rounding errors among 81 shares of that.

    Args:
        weight: real numbers.
        axis: of the channels; None: one step.
        least: smallest integer (-8, -7 ...).
        most: largest integer (7 ...).
        start: one of ``STARTS``.

    Returns:
        (C,) or (1,) float32, above 0.
    """
    rows = weight.detach().double()
    rows = rows.reshape(1, -1) if axis is None else rows.transpose(0, axis).reshape(weight.shape[axis], -1)
    if start == "auto":
        start = "lsq" if most < 127 else "max"
    if start == "lsq":
        steps = 2.0 * rows.abs().mean(1) / math.sqrt(most)
    else:
        steps = torch.maximum(rows.amax(1) / most, -rows.amin(1) / -least)
        steps = steps if start == "max" else _least_squares(rows, steps, least, most)
    return steps.clamp(min=SMALLEST_STEP).float()


def learns(most: int, start: str) -> bool:
    """Whether the step of a weight is learned: below 8 bits, or where it starts as LSQ's does.

    A grid of 8 bits that just holds the largest weight is fine enough as it is, and a bad place to learn from: the gradient
    of the one weight at its end is Q_P times that of the weight itself, Q_P^1.5 / (3 sqrt(N)) times what the scaling by
    1 / sqrt(N Q_P) balances. With the 27 to 300 weights of a channel the step then moves by its own size.
    """
    return most < 127 or start == "lsq"


def gradient_scale(elements: int, least: int, most: int) -> float:
    """1 / sqrt(N * Q_P) (arXiv:1902.08153, section 2.2); Q_P is the larger end of a grid that has most of it below zero."""
    return 1.0 / math.sqrt(max(elements, 1) * max(most, -least - 1))


def _least_squares(rows: Tensor, widest: Tensor, least: int, most: int) -> Tensor:
    best, error = widest.clone(), torch.full_like(widest, math.inf)
    for share in _SHARES:
        step = (widest * share).clamp(min=SMALLEST_STEP)[:, None]
        found = ((rows / step).round().clamp(least, most) * step - rows).square().sum(1)
        best, error = torch.where(found < error, step[:, 0], best), torch.minimum(found, error)
    return best
