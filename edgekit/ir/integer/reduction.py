"""MEAN, SUM and the reductions that only compare."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from edgekit.ir.integer.activation_range import BOTH, require, require_equal
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale
from edgekit.ir.integer.rounding import half_away
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype


def mean(
    x: torch.Tensor, axes: Sequence[int], input_quant: QuantParams, output_quant: QuantParams, *, keepdim: bool = False
) -> torch.Tensor:
    """MEAN over ``axes``: the 32-bit sum is rescaled by ``s_x / (n * s_y)``, the division by ``n`` being part of the
    multiplier.

    int8, any shape.

    Raises:
        Unsupported: types other than int8.
    """
    require("mean", input_quant, output_quant, dtypes=BOTH)
    count = _count(x, axes)
    significand, shift = quantize_multiplier(input_quant.scale[0] / output_quant.scale[0])
    # 1 / n is put into the significand, with as many bits as n has so that nothing is lost, and cut off, not rounded.
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    sums = x.sum(tuple(axes), keepdim=keepdim, dtype=torch.int64) - input_quant.zero_point[0] * count
    y = rescale(sums, (significand << bits) // count, shift - bits) + output_quant.zero_point[0]
    return y.clamp_(output_quant.qmin, output_quant.qmax).to(storage_dtype(output_quant))


def total(
    x: torch.Tensor, axes: Sequence[int], input_quant: QuantParams, output_quant: QuantParams, *, keepdim: bool = False
) -> torch.Tensor:
    """SUM over ``axes`` as LiteRT's optimised kernel computes it, rescaling in float32. int8, any shape.

    LiteRT 2.3's *reference* kernel of SUM reads int8 data as uint8: its results are wrong unless all integers are positive.
    An artifact for which the reference kernels shall be right computes sums another way (a MEAN, then a product).

    Raises:
        Unsupported: types other than int8.
    """
    require("sum", input_quant, output_quant)
    scale = torch.tensor(input_quant.scale[0], dtype=torch.float32) / torch.tensor(output_quant.scale[0], dtype=torch.float32)
    bias = -input_quant.zero_point[0] * scale * _count(x, axes)
    sums = x.sum(tuple(axes), keepdim=keepdim, dtype=torch.int64).to(torch.float32)
    y = half_away(sums * scale + bias) + output_quant.zero_point[0]
    return y.clamp_(output_quant.qmin, output_quant.qmax).to(storage_dtype(output_quant))


def _count(x: torch.Tensor, axes: Sequence[int]) -> int:
    """How many elements go into each result."""
    return prod(x.shape[axis] for axis in axes)


def reduce_extremum(
    x: torch.Tensor,
    axes: Sequence[int],
    input_quant: QuantParams,
    output_quant: QuantParams,
    *,
    largest: bool,
    keepdim: bool = False,
) -> torch.Tensor:
    """REDUCE_MAX or REDUCE_MIN of the integers themselves.

    Raises:
        Unsupported: unequal scales: the operator does not rescale.
    """
    require_equal("amax" if largest else "amin", input_quant, output_quant)
    return torch.amax(x, tuple(axes), keepdim) if largest else torch.amin(x, tuple(axes), keepdim)
