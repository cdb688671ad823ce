"""HARD_SWISH, in 16-bit fixed point."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.activation_range import require
from edgekit.ir.integer.fixed_point import divide_by_power_of_two, quantize_multiplier
from edgekit.ir.integer.table import by_table
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype

_LOW, _HIGH = -(2**15), 2**15 - 1


def _multiplier16(real: float) -> tuple[int, int]:
    """A 15-bit significand and an exponent."""
    significand, shift = quantize_multiplier(real)
    return (_HIGH if significand >= 2**31 - 1 - 2**15 else (significand + 2**15) >> 16), shift


def _multiply(a: torch.Tensor, b: int) -> torch.Tensor:
    """``a * b / 2**15`` rounded half up."""
    return (a * b + (1 << 14)) >> 15


def _shift_left(x: torch.Tensor, bits: int) -> torch.Tensor:
    return (x << bits).clamp(_LOW, _HIGH)


def hard_swish(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """``x * clamp(x + 3, 0, 6) / 6``: the factor is computed as a 16-bit number in [0, 1] and multiplied, rounding towards
    zero.

    int8, any shape.

    Raises:
        Unsupported: types other than int8, or an output scale of at most ``s_x / 128``.
    """
    require("hardswish", input_quant, output_quant)
    fine = np.float32(1.0 / 128.0) * np.float32(input_quant.scale[0])
    to_output, output_shift = _multiplier16(float(fine / np.float32(output_quant.scale[0])))
    to_factor, factor_shift = _multiplier16(float(fine / np.float32(3.0 / 32768.0)))
    if output_shift > 0:
        raise Unsupported(
            "the output scale of hardswish is too small beside its input's scale: the runtime refuses it",
            hint="calibrate with data that reaches above 0, or leave the operator in float",
        )

    def function(q: torch.Tensor) -> torch.Tensor:
        value = (q - input_quant.zero_point[0]) << 7
        scaled = _multiply(value, to_output)
        factor = value
        if factor_shift > 0:
            factor = _shift_left(factor, factor_shift - 1)
        factor = _multiply(factor, to_factor)
        if factor_shift > 0:
            factor = _shift_left(factor, 1)
        elif factor_shift < 0:
            factor = divide_by_power_of_two(factor, -factor_shift)
        factor = (factor + (1 << 15)) >> 1
        product = torch.div(factor * scaled, 1 << 15, rounding_mode="trunc")
        y = divide_by_power_of_two(product, -output_shift) + output_quant.zero_point[0]
        return y.clamp(output_quant.qmin, output_quant.qmax)

    return by_table(x, function, input_quant, storage_dtype(output_quant))
