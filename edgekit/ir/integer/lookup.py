"""Activations that the runtime computes in float32 for each of the 256 integers: LOGISTIC, TANH, ELU, GELU, EXP, LOG.

The table's entry is ``round(f(s_x * (q - z_x)) * (1 / s_y)) + z_y`` in float32, half away from zero. ``f`` is evaluated here
in double precision and rounded to float32, in the runtime by the C library: where that library's result is not the nearest
float32 and the product lies within its error of a half, one table entry can differ by one. An EXP whose quotient reaches 2**31
is undefined in the runtime; here it saturates.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.activation_range import require
from edgekit.ir.integer.rounding import half_away
from edgekit.ir.integer.table import by_table
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype

#: float32 in, float32 out.
Function = Callable[[torch.Tensor], torch.Tensor]


def by_float(x: torch.Tensor, function: Function, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """Applies a float function to int8 values through the runtime's table.

    Raises:
        Unsupported: types other than int8.
    """
    require("a table", input_quant, output_quant)

    def table(q: torch.Tensor) -> torch.Tensor:
        real = (q - input_quant.zero_point[0]).to(torch.float32) * np.float32(input_quant.scale[0]).item()
        inverse = float(np.float32(1.0) / np.float32(output_quant.scale[0]))
        y = half_away(function(real) * inverse) + output_quant.zero_point[0]
        return y.clamp(output_quant.qmin, output_quant.qmax)

    return by_table(x, table, input_quant, storage_dtype(output_quant))


def _single(function: Callable[[torch.Tensor], torch.Tensor]) -> Function:
    """The function in double precision, rounded to float32 once."""
    return lambda x: function(x.to(torch.float64)).to(torch.float32)


def logistic(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """LOGISTIC: ``1 / (1 + exp(-x))``, float32 in every step; the output's scale is 1/256.

    Raises:
        Unsupported: types other than int8, or another output scale.
    """
    if output_quant.scale[0] != 1.0 / 256.0:
        raise Unsupported(
            f"an int8 sigmoid has output scale 1/256, not {output_quant}",
            hint="calibrate the graph for a TFLite target, which fixes this scale",
        )
    exp = _single(torch.exp)
    return by_float(x, lambda v: 1.0 / (1.0 + exp(-v)), input_quant, output_quant)


def tanh(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """TANH; any output scale. Raises Unsupported for types other than int8."""
    return by_float(x, _single(torch.tanh), input_quant, output_quant)


def elu(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """ELU with alpha 1: ``exp(x) - 1`` below zero. Raises Unsupported for types other than int8."""
    expm1 = _single(torch.expm1)
    return by_float(x, lambda v: torch.where(v < 0, expm1(v), v), input_quant, output_quant)


def gelu(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams, *, approximate: bool = False) -> torch.Tensor:
    """GELU, exact (``0.5 x erfc(-x / sqrt 2)``) or by tanh. Raises Unsupported for types other than int8."""

    def exact(v: torch.Tensor) -> torch.Tensor:
        return 0.5 * v * _single(torch.erfc)(v * -np.float32(math.sqrt(0.5)).item())

    def by_tanh(v: torch.Tensor) -> torch.Tensor:
        inner = np.float32(math.sqrt(2.0 / math.pi)).item() * (v + np.float32(0.044715).item() * v * v * v)
        return 0.5 * v * (1.0 + _single(torch.tanh)(inner))

    return by_float(x, by_tanh if approximate else exact, input_quant, output_quant)


def exponential(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """EXP. Raises Unsupported for types other than int8."""
    return by_float(x, _single(torch.exp), input_quant, output_quant)


def logarithm(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """LOG; zero and negative numbers give the lowest output. Raises Unsupported for types other than int8."""
    lowest = float(np.float32(-128 - output_quant.zero_point[0]) * np.float32(output_quant.scale[0]))
    log = _single(torch.log)
    return by_float(x, lambda v: torch.where(v > 0, log(v), lowest), input_quant, output_quant)
