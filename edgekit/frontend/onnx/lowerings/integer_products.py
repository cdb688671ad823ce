"""Products of integers whose results are read as integers; with scales around them they are real products before."""

from __future__ import annotations

import torch

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops

#: Sums of so many products of two bytes are whole numbers in float32.
_MOST_TERMS = (1 << 24) // (255 * 255)


@lowers("MatMulInteger")
def matmul_integer(
    ctx: Lowering, a: Value, b: Value, a_zero_point: Value | None = None, b_zero_point: Value | None = None
) -> Result:
    """(A - a) (B - b) in int32, computed in float32 where that is exact."""
    ctx.need(a.type.rank > 1 and b.type.rank > 1, f"of {a.type} and {b.type}")
    ctx.need(ctx.fixed(a, a.type.rank - 1) <= _MOST_TERMS, f"adds more than {_MOST_TERMS} products, which float32 rounds")
    product = ctx.add(ops.Matmul(), _around(ctx, a, a_zero_point, -2), _around(ctx, b, b_zero_point, -1))
    return ctx.cast(product, torch.int32)


def _around(ctx: Lowering, x: Value, zero: Value | None, axis: int) -> Value:
    """The integers less their zero point, of which there may be one for each index along an axis."""
    real = ctx.cast(x, torch.float32)
    if zero is None:
        return real
    if zero.type.numel() != 1 and zero.type.rank == 1:
        at = x.type.rank + axis
        ctx.need(zero.shape == (x.shape[at],), f"has zero points {zero.type} for {x.type}")
        zero = ctx.reshape(zero, tuple(x.shape[at] if each == at else 1 for each in range(x.type.rank)))
    elif zero.type.numel() == 1:
        zero = ctx.reshape(zero, ())
    return ctx.add(ops.Sub(), real, ctx.cast(zero, torch.float32))
