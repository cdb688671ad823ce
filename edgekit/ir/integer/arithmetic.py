"""ADD, SUB, MUL, SQUARED_DIFFERENCE, MAXIMUM and MINIMUM, with broadcasting."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.activation_range import BOTH, activation_range, require, require_equal, require_one_type
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale, rescale_to
from edgekit.ir.integer.table import inputs_of, look_up
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype


def _smaller_than_one(operator: str, real: float) -> tuple[int, int]:
    """``quantize_multiplier``, refusing what the runtime aborts the process for."""
    significand, shift = quantize_multiplier(real)
    if not 0.0 < real < 1.0 or shift > 0:
        raise Unsupported(
            f"the output scale of {operator} is too small beside its inputs' scales: the runtime would abort",
            hint="calibrate with data in which the output varies, or leave the operator in float",
        )
    return significand, shift


def _on_common_scale(x: torch.Tensor, quant: QuantParams, common: float, left_shift: int) -> torch.Tensor:
    """``(x - z) * s / common * 2**left_shift`` in fixed point, int64, through a table of all 256 values."""
    multiplier = _smaller_than_one("an elementwise operator", quant.scale[0] / common)
    return look_up(x, rescale((inputs_of(quant) - quant.zero_point[0]) << left_shift, *multiplier), quant)


def _sum(
    operator: str,
    a: torch.Tensor,
    b: torch.Tensor,
    a_quant: QuantParams,
    b_quant: QuantParams,
    output_quant: QuantParams,
    activation: str,
    sign: int,
) -> torch.Tensor:
    require(operator, a_quant, b_quant, output_quant, dtypes=BOTH)
    require_one_type(operator, a_quant, b_quant, output_quant)
    # The sum of two shifted integers fits 32 bits.
    bits = 15 if output_quant.dtype == "int16" else 20
    common = 2.0 * max(a_quant.scale[0], b_quant.scale[0])
    significand, shift = _smaller_than_one(operator, common / (2.0**bits * output_quant.scale[0]))
    first = _on_common_scale(a, a_quant, common, bits)
    second = _on_common_scale(b, b_quant, common, bits)
    raw = first + second if sign > 0 else first - second
    low, high = activation_range(activation, output_quant)
    return _rescaled(raw, significand, shift, output_quant, low, high)


def _rescaled(raw: torch.Tensor, significand: int, shift: int, quant: QuantParams, low: int, high: int) -> torch.Tensor:
    flat = raw.reshape(-1)
    return rescale_to(flat, significand, shift, quant.zero_point[0], low, high, storage_dtype(quant)).reshape(raw.shape)


def add(
    a: torch.Tensor,
    b: torch.Tensor,
    a_quant: QuantParams,
    b_quant: QuantParams,
    output_quant: QuantParams,
    *,
    activation: str = "none",
) -> torch.Tensor:
    """``a + b``: both are brought to twice the larger input scale with 20 more bits (15 of int16), added, and rescaled. Shapes
    broadcast.

    Raises:
        Unsupported: types other than int8 and int16; an output scale of at most ``2 * max(s_a, s_b) / 2**20``.
    """
    return _sum("add", a, b, a_quant, b_quant, output_quant, activation, 1)


def subtract(
    a: torch.Tensor,
    b: torch.Tensor,
    a_quant: QuantParams,
    b_quant: QuantParams,
    output_quant: QuantParams,
    *,
    activation: str = "none",
) -> torch.Tensor:
    """``a - b``; see ``add``."""
    return _sum("sub", a, b, a_quant, b_quant, output_quant, activation, -1)


def multiply(
    a: torch.Tensor,
    b: torch.Tensor,
    a_quant: QuantParams,
    b_quant: QuantParams,
    output_quant: QuantParams,
    *,
    activation: str = "none",
) -> torch.Tensor:
    """``a * b``: integer product, rescaled by ``s_a * s_b / s_y`` (each step rounded to float32). Shapes broadcast.

    Raises:
        Unsupported: types other than int8 and int16.
    """
    require("mul", a_quant, b_quant, output_quant, dtypes=BOTH)
    require_one_type("mul", a_quant, b_quant, output_quant)
    product = (a.to(torch.int32) - a_quant.zero_point[0]) * (b.to(torch.int32) - b_quant.zero_point[0])
    scale = np.float32(a_quant.scale[0]) * np.float32(b_quant.scale[0]) / np.float32(output_quant.scale[0])
    significand, shift = quantize_multiplier(float(scale))
    low, high = activation_range(activation, output_quant)
    return _rescaled(product, significand, shift, output_quant, low, high)


def squared_difference(
    a: torch.Tensor, b: torch.Tensor, a_quant: QuantParams, b_quant: QuantParams, output_quant: QuantParams
) -> torch.Tensor:
    """``(a - b) ** 2`` with 7 extra bits before squaring. int8, shapes broadcast.

    Raises:
        Unsupported: types other than int8; an output scale that is too small.
    """
    require("squared_difference", a_quant, b_quant, output_quant)
    common = 2.0 * max(a_quant.scale[0], b_quant.scale[0])
    # The denominator is a float32 product with a power of two, hence exact.
    multiplier = _smaller_than_one("squared_difference", common * common / (2.0**14 * output_quant.scale[0]))
    difference = _on_common_scale(a, a_quant, common, 7) - _on_common_scale(b, b_quant, common, 7)
    return _rescaled(difference * difference, *multiplier, output_quant, output_quant.qmin, output_quant.qmax)


def extremum(
    a: torch.Tensor, b: torch.Tensor, a_quant: QuantParams, b_quant: QuantParams, output_quant: QuantParams, *, largest: bool
) -> torch.Tensor:
    """MAXIMUM or MINIMUM of the integers themselves; shapes broadcast.

    Raises:
        Unsupported: the three values do not have equal scales and zero points (the runtime would compare unlike integers).
    """
    require_equal("maximum" if largest else "minimum", a_quant, b_quant, output_quant)
    return torch.maximum(a, b) if largest else torch.minimum(a, b)
