"""The smallest step of a weight that the runtimes' integer kernels take."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.compress.quantize.assign import LARGEST_BIAS, SMALLEST_MULTIPLIER


def smallest_steps(bias: Tensor | None, input_scale: float, output_scale: float, dtype: str) -> Tensor:
    """Below these, a channel adds next to nothing to its output, or its bias leaves 32 bits.

    Args:
        bias: (C,) real numbers, or None.
        input_scale: s_x.
        output_scale: s_y.
        dtype: of the weight.

    Returns:
        (C,) or (1,) float64.
    """
    floor = torch.tensor([SMALLEST_MULTIPLIER * output_scale / input_scale], dtype=torch.float64)
    if bias is None:
        return floor
    return torch.maximum(floor, bias.detach().abs().double() / (LARGEST_BIAS[dtype] * input_scale))
