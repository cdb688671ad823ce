"""Losses are computed in float32 at least, whatever the precision of the pass."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 become float32, everything else stays: exponentials and squares overflow or round away in them."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
