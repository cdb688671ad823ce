"""CONCATENATION and PAD."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from edgekit.ir.integer.activation_range import require_equal
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import quantize


def concatenate(
    tensors: Sequence[torch.Tensor], axis: int, quants: Sequence[QuantParams], output_quant: QuantParams
) -> torch.Tensor:
    """Joins integers; the runtime's int8 kernel does not rescale.

    Raises:
        Unsupported: unequal scales or zero points.
    """
    require_equal("a concatenation", output_quant, *quants)
    return torch.cat(list(tensors), axis)


def pad(
    x: torch.Tensor,
    pads: Sequence[int],
    quant: QuantParams,
    output_quant: QuantParams,
    *,
    mode: str = "constant",
    value: float = 0.0,
) -> torch.Tensor:
    """PAD, PADV2 and MIRROR_PAD: ``pads`` and ``mode`` as in ``torch.nn.functional.pad``; ``value`` is real and is quantised.

    Raises:
        Unsupported: unequal scales or zero points.
    """
    require_equal("a pad", quant, output_quant)
    if mode == "constant":
        filler = int(quantize(torch.tensor(value), quant))
        return F.pad(x, list(pads), value=filler)
    # torch mirrors floating point only; float32 holds every 8-bit integer.
    return F.pad(x.to(torch.float32), list(pads), mode=mode).to(x.dtype)
