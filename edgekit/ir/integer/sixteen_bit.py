"""SOFTMAX, LOGISTIC and TANH of 16-bit integers, as LiteRT's kernels compute them: by tables that are interpolated linearly.

All of them have symmetric inputs and the output scale 1/32768.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.activation_range import require
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale
from edgekit.ir.integer.gemmlowp import leading_zeros
from edgekit.ir.integer.rounding import half_away
from edgekit.ir.quant import QuantParams

_LOW, _HIGH = -(2**15), 2**15 - 1
_OUTPUT = QuantParams("int16", (1.0 / 32768.0,), (0,))
_RANGE = 65535.0


def _require(operator: str, input_quant: QuantParams, output_quant: QuantParams) -> None:
    require(operator, input_quant, output_quant, dtypes=("int16",))
    if output_quant != _OUTPUT or input_quant.zero_point != (0,):
        raise Unsupported(
            f"an int16 {operator} has a symmetric input and the output scale 1/32768, not {output_quant}",
            hint="calibrate the graph for a TFLite target, which fixes this scale",
        )


def _table(
    function: Callable[[torch.Tensor], torch.Tensor], scale: float, zero_point: int, output_scale: float
) -> torch.Tensor:
    """513 entries over the 65,536 integers, each shifted by half of the error in the middle of its step; double precision."""
    low, high = scale * (_LOW - zero_point), scale * (_HIGH - zero_point)
    step = (high - low) / 512
    inverse = (_RANGE + 1) / (output_scale * _HIGH - output_scale * _LOW)
    at = low + torch.arange(512, dtype=torch.float64) * step
    following = low + torch.arange(1, 513, dtype=torch.float64) * step
    sample = half_away(function(at) * inverse)
    middle = half_away((function(following) * inverse + sample) / 2)
    bias = half_away((middle - half_away(function(at + step / 2) * inverse)) / 2)
    last = half_away(function(torch.tensor([high], dtype=torch.float64)) * inverse)
    return torch.cat([sample - bias, last]).clamp(_LOW, _HIGH).to(torch.int64)


def _interpolated(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Nine bits choose the entry, seven lie between it and the next."""
    index = 256 + (x >> 7)
    base = table[index]
    slope = (table[index + 1] - base).to(torch.int16).to(torch.int64)
    return base + ((slope * (x & 127) + 64) >> 7)


def softmax16(
    x: torch.Tensor, axis: int, input_quant: QuantParams, output_quant: QuantParams, *, beta: float = 1.0
) -> torch.Tensor:
    """``exp(beta * x) / sum(exp(beta * x))`` along ``axis``: exponentials down to exp(-10), and 1 / (1 + x), from tables.

    Raises:
        Unsupported: types other than int16, or another output scale.
    """
    _require("softmax", input_quant, output_quant)
    exp = _table(torch.exp, 10.0 / _RANGE, _HIGH, 2.0 / _RANGE)
    reciprocals = _table(lambda v: 1.0 / (1.0 + v), 1.0 / _RANGE, _LOW, 2.0 / _RANGE)
    multiplier = quantize_multiplier(input_quant.scale[0] * beta / (10.0 / _RANGE))
    rows = x.movedim(axis, -1).to(torch.int64)
    scaled = rescale(rows - rows.amax(-1, keepdim=True), *multiplier)
    exponentials = _interpolated((scaled + 32767).clamp(_LOW, _HIGH), exp)
    sums = exponentials.sum(-1, keepdim=True)
    headroom = leading_zeros(sums)
    shifted = ((sums << (headroom - 1)) + (1 << 13)) >> 14
    reciprocal = _interpolated((shifted - (1 << 15) - (1 << 16)).clamp(_LOW, _HIGH), reciprocals)
    right = 31 - headroom
    y = (exponentials * reciprocal + (torch.ones_like(right) << (right - 1))) >> right
    return y.clamp(0, _HIGH).to(torch.int16).movedim(-1, axis)


#: Where the runtime's table of sigmoids is one above the nearest integer.
_ONE_MORE = [
    *(4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45, 46, 49, 50, 54),
    *(62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
]


def _sigmoids() -> torch.Tensor:
    """sigmoid(i / 24) in 1/65536, i = 0 .. 255."""
    table = half_away(torch.sigmoid(torch.arange(256, dtype=torch.float64) / 24) * 65536).to(torch.int64)
    table[_ONE_MORE] += 1
    return table


def _on_table_scale(x: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """``x`` in steps of 1 / (3 * 4096), where 2**17 stands for 10.7."""
    multiplier, shift = quant.scale[0] * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    half = 1 << (shift - 1) if shift else 0
    return (x.to(torch.int64) * math.trunc(multiplier) + half) >> shift


def logistic16(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """``1 / (1 + exp(-x))``.

    Raises:
        Unsupported: types other than int16, or another output scale.
    """
    _require("sigmoid", input_quant, output_quant)
    steps, table = _on_table_scale(x, input_quant), _sigmoids()
    size = steps.abs()
    entry = (size >> 9).clamp(max=254)
    inside = (table[entry] << 9) + (size & 511) * (table[entry + 1] - table[entry])
    y = torch.where(size >> 9 >= 255, 0x7FFF << 10, inside)
    y = torch.where(steps >= 0, y + (1 << 9), (1 << 25) - y + (1 << 9) - 1)
    return (y >> 10).to(torch.int16)


def tanh16(x: torch.Tensor, input_quant: QuantParams, output_quant: QuantParams) -> torch.Tensor:
    """``tanh(x) = 2 sigmoid(2 x) - 1``, from the same table.

    Raises:
        Unsupported: types other than int16, or another output scale.
    """
    _require("tanh", input_quant, output_quant)
    steps, table = _on_table_scale(x, input_quant), _sigmoids()
    size = steps.abs()
    entry = (size >> 8).clamp(max=254)
    inside = (table[entry] << 8) + (size & 255) * (table[entry + 1] - table[entry])
    y = torch.where(size >> 8 >= 255, 0xFFFF << 8, inside)
    y = torch.where(steps >= 0, y - (1 << 23) + (1 << 7), (1 << 23) - y + (1 << 7) - 1)
    return (y >> 8).to(torch.int16)
