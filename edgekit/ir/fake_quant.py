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
    least, most = (quant.qmin - zero).to(x.dtype), (quant.qmax - zero).to(x.dtype)
    if not (torch.is_grad_enabled() and x.requires_grad):
        return _in_place(x / scale, scale, least, most)  # nobody needs a gradient: a quarter of the time and memory
    inside = torch.minimum(torch.maximum(x, least * scale), most * scale)
    return inside + (torch.round(inside / scale) * scale - inside).detach()


def _in_place(steps: torch.Tensor, scale: torch.Tensor, least: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    """The same of a quotient that nobody else holds."""
    return steps.round_().clamp_(least, most).mul_(scale)
