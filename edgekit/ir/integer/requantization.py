"""QUANTIZE (from float and between integer types) and DEQUANTIZE."""

from __future__ import annotations

import torch

from edgekit.ir.integer.activation_range import require
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale
from edgekit.ir.integer.rounding import half_away
from edgekit.ir.integer.table import by_table
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import dequantize, storage_dtype

__all__ = ["dequantize", "quantize_op", "requantize"]

_TYPES = ("int8", "uint8", "int16")


def quantize_op(x: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """The operator QUANTIZE on float32: ``clamp(round(x / scale) + zero_point)`` rounding half away from zero.

    Values beyond the range saturate. (The runtime's result is undefined from ``|x / scale| >= 2**31`` on, and for NaN; here
    the former saturate too and NaN becomes the zero point.)

    Raises:
        Unsupported: types other than int8, uint8 and int16.
    """
    require("a quantisation", quant, dtypes=_TYPES)
    quotient = x.to(torch.float32) / torch.tensor(quant.scale[0], dtype=torch.float32)
    zero = quant.zero_point[0]
    rounded = half_away(quotient).nan_to_num(0.0, float("inf"), float("-inf"))
    return (rounded.clamp(quant.qmin - zero, quant.qmax - zero) + zero).to(storage_dtype(quant))


def requantize(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """The operator QUANTIZE between int8, uint8 and int16 values: ``s_x / s_y`` in fixed point.

    Raises:
        Unsupported: types other than int8, uint8 and int16.
    """
    require("a requantisation", input_quant, output_quant, dtypes=_TYPES)
    significand, shift = quantize_multiplier(input_quant.scale[0] / output_quant.scale[0])

    def function(q: torch.Tensor) -> torch.Tensor:
        y = rescale(q - input_quant.zero_point[0], significand, shift) + output_quant.zero_point[0]
        return y.clamp(output_quant.qmin, output_quant.qmax)

    return by_table(x, function, input_quant, storage_dtype(output_quant))
