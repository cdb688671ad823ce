"""RELU and its family as operators of their own (not fused), LEAKY_RELU, PRELU, ABS."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.ir.integer.activation_range import BOTH, activation_range, require
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale
from edgekit.ir.integer.table import by_table, inputs_of, look_up
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype


def _ratio(numerator: QuantParams, denominator: QuantParams, factor: float = 1.0) -> float:
    """``s_x * factor / s_y``, each step rounded to float32, as these operators compute it."""
    return float(np.float32(numerator.scale[0]) * np.float32(factor) / np.float32(denominator.scale[0]))


def rectify(x: torch.Tensor, activation: str, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """RELU, RELU6, RELU_N1_TO_1 or RELU_0_TO_1 with requantisation from ``s_x`` to ``s_y``.

    ``x`` is int8 of any shape; ``activation`` is a name that ``activation_range`` knows.

    Raises:
        Unsupported: types other than int8.
    """
    require(activation, input_quant, output_quant, dtypes=BOTH)
    significand, shift = quantize_multiplier(_ratio(input_quant, output_quant))
    low, high = activation_range(activation, output_quant)

    def function(q: torch.Tensor) -> torch.Tensor:
        return (rescale(q - input_quant.zero_point[0], significand, shift) + output_quant.zero_point[0]).clamp(low, high)

    return by_table(x, function, input_quant, storage_dtype(output_quant))


def leaky_relu(x: torch.Tensor, slope: float, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """LEAKY_RELU: positive values are rescaled by ``s_x / s_y``, negative ones by ``slope * s_x / s_y``. int8, any shape.

    Raises:
        Unsupported: types other than int8.
    """
    require("leaky_relu", input_quant, output_quant, dtypes=BOTH)
    identity = quantize_multiplier(_ratio(input_quant, output_quant))
    alpha = quantize_multiplier(_ratio(input_quant, output_quant, slope))
    sign = -1 if alpha[0] < 0 else 1

    def function(q: torch.Tensor) -> torch.Tensor:
        centred = q - input_quant.zero_point[0]
        y = torch.where(centred >= 0, rescale(centred, *identity), sign * rescale(centred, abs(alpha[0]), alpha[1]))
        return (y + output_quant.zero_point[0]).clamp(output_quant.qmin, output_quant.qmax)

    return by_table(x, function, input_quant, storage_dtype(output_quant))


def prelu(
    x: torch.Tensor,
    slope: torch.Tensor,
    input_quant: QuantParams,
    slope_quant: QuantParams,
    output_quant: QuantParams,
) -> torch.Tensor:
    """PRELU: ``x`` where positive, else ``x * slope``.

    ``x`` is int8 (N, C, ...), ``slope`` int8 that broadcasts against it, for example (C, 1, 1).

    Raises:
        Unsupported: types other than int8, or slopes with a scale per channel.
    """
    require("prelu", input_quant, slope_quant, output_quant)
    identity = quantize_multiplier(_ratio(input_quant, output_quant))
    product = np.float32(input_quant.scale[0]) * np.float32(slope_quant.scale[0])
    negative = quantize_multiplier(float(product / np.float32(output_quant.scale[0])))
    positive = look_up(x, rescale(inputs_of(input_quant) - input_quant.zero_point[0], *identity), input_quant)
    centred = x.to(torch.int64) - input_quant.zero_point[0]
    y = torch.where(centred >= 0, positive, rescale(centred * (slope.to(torch.int64) - slope_quant.zero_point[0]), *negative))
    return (y + output_quant.zero_point[0]).clamp(output_quant.qmin, output_quant.qmax).to(storage_dtype(output_quant))


def absolute(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """ABS with requantisation, which is left out where the two scales are equal. int8, any shape.

    Raises:
        Unsupported: types other than int8.
    """
    require("abs", input_quant, output_quant, dtypes=BOTH)
    significand, shift = quantize_multiplier(_ratio(input_quant, output_quant))

    def function(q: torch.Tensor) -> torch.Tensor:
        y = (q - input_quant.zero_point[0]).abs()
        if input_quant.scale != output_quant.scale:
            y = rescale(y, significand, shift)
        return (y + output_quant.zero_point[0]).clamp(output_quant.qmin, output_quant.qmax)

    return by_table(x, function, input_quant, storage_dtype(output_quant))
