"""RSQRT."""

from __future__ import annotations

import math

import numpy as np
import torch

from edgekit.errors import InputError
from edgekit.ir.integer.activation_range import require
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale
from edgekit.ir.integer.gemmlowp import inverse_sqrt_multiplier
from edgekit.ir.integer.table import by_table
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype


def inverse_sqrt(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """``1 / sqrt(x)``: a fixed-point inverse root of the integer, rescaled by ``1 / (sqrt(s_x) * s_y)``. Zero gives the
    largest integer.

    int8, any shape.

    Raises:
        InputError: an integer below the zero point, which stops the runtime.
        Unsupported: types other than int8.
    """
    require("rsqrt", input_quant, output_quant)
    zero = input_quant.zero_point[0]
    if x.numel() and int(x.min()) < zero:
        raise InputError("rsqrt of a negative number", hint="quantise its input with the lowest integer as zero point")
    root = np.float32(math.sqrt(input_quant.scale[0]))
    significand, shift = quantize_multiplier(1.0 / float(root * np.float32(output_quant.scale[0])))

    def function(q: torch.Tensor) -> torch.Tensor:
        entries = []
        for value in (q - zero).tolist():
            if value <= 0:
                entries.append(output_quant.qmax)
                continue
            inverse, inverse_shift = inverse_sqrt_multiplier(value)
            # Twenty more bits on the way, taken back in the second step.
            fine = rescale(torch.tensor(1), inverse, inverse_shift + 20)
            entries.append(int(rescale(fine, significand, shift - 20)) + output_quant.zero_point[0])
        return torch.tensor(entries).clamp(output_quant.qmin, output_quant.qmax)

    return by_table(x, function, input_quant, storage_dtype(output_quant))
