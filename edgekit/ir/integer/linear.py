"""FULLY_CONNECTED and BATCH_MATMUL."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.ir.integer.accumulate import bound_of, centred, exact_dtype, largest
from edgekit.ir.integer.activation_range import BOTH, activation_range, require, require_one_type
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale, rescale_to, rescale_wide, wrap_int32
from edgekit.ir.integer.rounding import half_away
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    input_quant: QuantParams,
    weight_quant: QuantParams,
    output_quant: QuantParams,
    *,
    activation: str = "none",
) -> torch.Tensor:
    """A fully connected layer, per tensor or per channel, as TFLite's FULLY_CONNECTED computes it.

    LiteRT 2.3's reference kernel rescales the 32-bit sum in double precision and rounds once, half away from zero; it is the
    only operator to do so (TFLite Micro and the other kernels use fixed point, and may differ by one).

    ``x`` is int8 (..., K), ``weight`` integers (O, K) with one scale or one per output channel (a per-tensor zero point is
    subtracted, as in the runtime), ``bias`` int32 (O,) or None; ``activation`` is a name that ``activation_range`` knows.

    Returns:
        int8 (..., O).

    Raises:
        Unsupported: types other than int8 activations with weights of at most 8 bits.
    """
    require("a fully connected layer", input_quant, output_quant, dtypes=BOTH)
    require_one_type("a fully connected layer", input_quant, output_quant)
    real_weight = weight.to(torch.int64)
    if not weight_quant.per_channel:
        real_weight = real_weight - weight_quant.zero_point[0]
    bound = bound_of(real_weight, input_quant)
    dtype = exact_dtype(bound)
    sums = torch.matmul(centred(x, input_quant, dtype), real_weight.to(dtype).t())
    if bias is not None:
        sums = sums.to(torch.float64) + bias.to(torch.float64)
        bound += int(bias.to(torch.int64).abs().max())
    if bound >= 1 << 31 and output_quant.dtype != "int16":
        sums = wrap_int32(sums.to(torch.int64))
    # In double precision and in this order: s_x * s_w, then / s_y.
    scales = [input_quant.scale[0] * scale / output_quant.scale[0] for scale in weight_quant.scale]
    rounded = half_away(sums.to(torch.float64) * torch.tensor(scales, dtype=torch.float64))
    low, high = activation_range(activation, output_quant)
    return (rounded + output_quant.zero_point[0]).clamp_(low, high).to(storage_dtype(output_quant))


def matmul(
    a: torch.Tensor, b: torch.Tensor, a_quant: QuantParams, b_quant: QuantParams, output_quant: QuantParams
) -> torch.Tensor:
    """A batched matrix product of two activations, as TFLite's BATCH_MATMUL computes it.

    ``a`` is int8 (..., M, K), ``b`` int8 (..., K, N); batch dimensions broadcast.

    Returns:
        int8 (..., M, N).

    Raises:
        Unsupported: types other than int8.
    """
    require("a matrix product", a_quant, b_quant, output_quant, dtypes=BOTH)
    require_one_type("a matrix product", a_quant, b_quant, output_quant)
    dtype = exact_dtype(a.shape[-1] * largest(a_quant) * largest(b_quant))
    sums = torch.matmul(centred(a, a_quant, dtype), centred(b, b_quant, dtype))
    # The product of the scales is rounded to float32, the quotient is not.
    product = float(np.float32(a_quant.scale[0]) * np.float32(b_quant.scale[0]))
    significand, shift = quantize_multiplier(product / output_quant.scale[0])
    return rescale_to(
        sums.reshape(-1, *sums.shape[-2:]),
        significand,
        shift,
        output_quant.zero_point[0],
        output_quant.qmin,
        output_quant.qmax,
        storage_dtype(output_quant),
        scale_by=rescale_wide if output_quant.dtype == "int16" else rescale,
    ).reshape(sums.shape)
