"""Fake quantisation: rounding to the integer grid in float, with a straight-through gradient."""

from __future__ import annotations

import torch

from edgekit.ir.quant import QuantParams


def fake_quantize(x: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """``scale * (clamp(round(x / scale) + zero_point) - zero_point)``; gradient 1 inside the range, 0 outside.

    Rounding is half to even, as in the integer functions of ``edgekit.ir``. ``x`` has any shape; the result has the same.
    """
    scale, zero = quant.tensors(x.dim(), x.device)
    scale = scale.to(x.dtype)
    low, high = (quant.qmin - zero).to(x.dtype) * scale, (quant.qmax - zero).to(x.dtype) * scale
    inside = torch.minimum(torch.maximum(x, low), high)
    return inside + (torch.round(inside / scale) * scale - inside).detach()
