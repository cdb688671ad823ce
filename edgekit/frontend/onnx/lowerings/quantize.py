"""QuantizeLinear and DequantizeLinear.

A pair of both is a value that is held as integers: in the graph an ``identity`` whose output has ``quant``, which
``edgekit.frontend.onnx.absorb`` merges into what computes it. One of them alone is written out as arithmetic.
"""

from __future__ import annotations

import torch

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.scales import parameters, stored_type
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.quant import RANGES
from edgekit.ir.types import dtype_name, dtype_of


@lowers("QuantizeLinear")
def quantize_linear(
    ctx: Lowering,
    x: Value,
    y_scale: Value,
    y_zero_point: Value | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Result:
    """round(x / scale) + zero point, within the type's range."""
    ctx.need(block_size == 0, "has scales for blocks", "use one scale, or one for each channel")
    kind = stored_type(ctx, y_zero_point, output_dtype)
    if ctx.building.readers.get(ctx.node.output[0], set()) <= {"DequantizeLinear"} and y_scale.is_constant:
        quant = parameters(ctx, x, y_scale, y_zero_point, kind, axis)
        if quant is not None and quant.axis is None:
            made = ctx.add_node(ops.Identity(), x).outputs[0]
            made.quant = quant
            ctx.building.held.add(id(made))
            ctx.building.kept.append(made)
            return made
    ctx.need(kind in ("int8", "uint8", "int16", "int32"), f"makes {kind}")
    scale, zero = _lined_up(ctx, x, axis, y_scale, y_zero_point)
    steps = ctx.add(ops.Round(), ctx.add(ops.Div(), ctx.cast(x, scale.type.dtype), scale))
    moved = steps if zero is None else ctx.add(ops.Add(), steps, ctx.cast(zero, scale.type.dtype))
    low, high = RANGES[kind]
    return ctx.cast(ctx.add(ops.Clamp(low=float(low), high=float(high)), moved), dtype_of(kind))


@lowers("DequantizeLinear")
def dequantize_linear(
    ctx: Lowering,
    x: Value,
    x_scale: Value,
    x_zero_point: Value | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Result:
    """(x - zero point) * scale. Of the integers of a pair, the value itself; of a constant, its real numbers with ``quant``."""
    ctx.need(block_size == 0, "has scales for blocks", "use one scale, or one for each channel")
    if id(x) in ctx.building.held:
        assert x.quant is not None
        same = parameters(ctx, x, x_scale, x_zero_point, stored_type(ctx, x_zero_point, 0), axis)
        ctx.need(same == x.quant, "has other scales than the QuantizeLinear before it")
        return x
    scale, zero = _lined_up(ctx, x, axis, x_scale, x_zero_point)
    wide = torch.float64 if x.type.dtype == torch.int32 and x.is_constant and scale.is_constant else scale.type.dtype
    integers = ctx.cast(x, wide)
    if zero is not None:
        integers = ctx.add(ops.Sub(), integers, ctx.cast(zero, wide))
    real = ctx.cast(ctx.add(ops.Mul(), integers, ctx.cast(scale, wide)), scale.type.dtype)
    if x.is_constant and real.is_constant and scale.type.dtype == torch.float32:
        kind = ctx.building.widened.get(id(x), dtype_name(x.type.dtype))
        real.quant = parameters(ctx, x, x_scale, x_zero_point, kind, axis)
        ctx.building.is_weight(real, x.name)
    return real


def _lined_up(ctx: Lowering, x: Value, axis: int, scale: Value, zero: Value | None) -> tuple[Value, Value | None]:
    """Parameters that broadcast: one number, or one for each index along the axis."""
    if scale.type.numel() == 1:
        return ctx.reshape(scale, ()), None if zero is None else ctx.reshape(zero, ())
    at = ctx.axis(axis, x.type.rank)
    ctx.need(scale.shape == (x.shape[at],), f"has scales {scale.type} for axis {at} of {x.type}")
    shape = tuple(x.shape[at] if each == at else 1 for each in range(x.type.rank))
    return ctx.reshape(scale, shape), None if zero is None else ctx.reshape(zero, shape)
