"""Rounding half away from zero, C's ``round``."""

from __future__ import annotations

import torch


def half_away(x: torch.Tensor) -> torch.Tensor:
    """The nearest integer in the dtype of ``x``; halves away from zero.

    Not ``floor(x + 0.5)``, whose sum is rounded itself: 0.49999997 (float32) would become 1.
    """
    whole = x.trunc()
    # The difference is exact: it has no more bits than x.
    return whole + torch.where((x - whole).abs() >= 0.5, x.sign(), 0.0)
