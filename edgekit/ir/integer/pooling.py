"""AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgekit.ir.integer.activation_range import BOTH, activation_range, require, require_equal
from edgekit.ir.integer.convolution import Padding
from edgekit.ir.quant import QuantParams


def average_pool2d(
    x: torch.Tensor,
    quant: QuantParams,
    output_quant: QuantParams,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = ((0, 0), (0, 0)),
    activation: str = "none",
) -> torch.Tensor:
    """The mean of the integers in each window, rounded half away from zero; padding is not counted.

    A window that reaches over the edge (``ceil_mode``) is expressed by padding at the bottom and right. int8 (N, C, H, W).

    Raises:
        Unsupported: types other than int8, or unequal scales: the operator does not rescale.
    """
    require("an average pool", quant, output_quant, dtypes=BOTH)
    require_equal("an average pool", quant, output_quant)
    (top, bottom), (left, right) = padding
    pads = (left, right, top, bottom)
    # Sums of at most 2**16 values of at most 2**7 are exact in float32.
    dtype = torch.float32 if quant.dtype == "int8" and kernel[0] * kernel[1] <= 1 << 16 else torch.float64
    sums = F.avg_pool2d(F.pad(x.to(dtype), pads), kernel, stride, divisor_override=1).to(torch.int32)
    ones = torch.ones(1, 1, *x.shape[2:], dtype=dtype)
    counts = F.avg_pool2d(F.pad(ones, pads), kernel, stride, divisor_override=1).to(torch.int32)
    half = torch.div(counts, 2, rounding_mode="floor")
    rounded = torch.div(sums + torch.where(sums > 0, half, -half), counts, rounding_mode="trunc")
    low, high = activation_range(activation, output_quant)
    return rounded.clamp_(low, high).to(x.dtype)


def max_pool2d(
    x: torch.Tensor,
    quant: QuantParams,
    output_quant: QuantParams,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
    activation: str = "none",
) -> torch.Tensor:
    """The largest integer in each window; padding never wins. int8 (N, C, H, W).

    Raises:
        Unsupported: types other than int8, or unequal scales: the operator does not rescale.
    """
    require("a max pool", quant, output_quant, dtypes=BOTH)
    require_equal("a max pool", quant, output_quant)
    (top, bottom), (left, right) = padding
    # float32 holds every int8; the lowest integer is what the runtime starts each window with.
    padded = F.pad(x.to(torch.float32), (left, right, top, bottom), value=float(quant.qmin))
    low, high = activation_range(activation, output_quant)
    return F.max_pool2d(padded, kernel, stride, 0, dilation).clamp_(low, high).to(x.dtype)
