"""Averages over windows of different widths, as products with constant matrices: one for each axis whose size changes."""

from __future__ import annotations

from math import lcm

import torch

from edgekit.ir.integer.linear import matmul
from edgekit.ir.quant import RANGES, QuantParams
from edgekit.ir.quantized_data import quantize_constant


def adaptive_bounds(size: int, out: int) -> list[tuple[int, int]]:
    """Start and end of each window of an adaptive pool, as torch divides: floor(i * size / out), ceil((i + 1) * size / out)."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def averaging(size: int, out: int) -> torch.Tensor:
    """The matrix (out, size) that averages each window."""
    matrix = torch.zeros(out, size)
    for row, (start, end) in enumerate(adaptive_bounds(size, out)):
        matrix[row, start:end] = 1.0 / (end - start)
    return matrix


def averaging_params(size: int, out: int, dtype: str) -> QuantParams:
    """Parameters of that matrix in integers.

    Windows have at most two widths, w and w + 1, so in steps of 1 / (w * (w + 1)) the weights are the integers w + 1 and w and
    nothing is rounded, as long as they fit the type.
    """
    widths = {end - start for start, end in adaptive_bounds(size, out)}
    steps, most = lcm(*widths), RANGES[dtype][1]
    scale = 1.0 / steps if steps // min(widths) <= most else 1.0 / (min(widths) * most)
    return QuantParams(dtype, (scale,))


def average_windows(x: torch.Tensor, quant: QuantParams, output_quant: QuantParams, size: tuple[int, int]) -> torch.Tensor:
    """Means of integers (N, C, H, W) over windows that divide H and W into ``size`` parts, along H and then along W.

    Between the two products stand integers with the parameters of the input: a mean needs no wider range.

    Raises:
        Unsupported: types that BATCH_MATMUL does not take.
    """
    changed = [axis for axis in (2, 3) if x.shape[axis] != size[axis - 2]]
    for axis in changed:
        old, new = x.shape[axis], size[axis - 2]
        params = averaging_params(old, new, quant.dtype)
        matrix = quantize_constant(averaging(old, new), params)
        rows = x if axis == 2 else x.transpose(2, 3)
        result = matmul(matrix, rows, params, quant, output_quant if axis == changed[-1] else quant)
        x = result if axis == 2 else result.transpose(2, 3)
    return x
