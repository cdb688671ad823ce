"""Pools. Padding counts for nothing: a window's mean is that of the elements inside the input."""

from __future__ import annotations

from math import prod

import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.frontend.tflite.windows import pads, spatial
from edgekit.ir import Value, ops


@lowers(Op.MAX_POOL_2D)
def max_pool_2d(
    ctx: Lowering,
    input: Held,
    *,
    padding: int = 0,
    stride_w: int = 0,
    stride_h: int = 0,
    filter_width: int = 0,
    filter_height: int = 0,
    fused_activation_function: int = 0,
) -> Result:
    """input (N, H, W, C)."""
    x, kernel, stride = ctx.channels_first(input), (filter_height, filter_width), (stride_h, stride_w)
    around = pads(ctx, x, padding, kernel, stride)
    before, ceil = _as_torch(ctx, x, kernel, stride, around)
    if before is None:
        x = ctx.add(ops.Pad(((0, 0), (0, 0), *around), value=_lowest(x)), x)
        before = (0, 0)
    return ctx.activated(
        ctx.channels_last(ctx.add(ops.MaxPool2d(kernel, stride, before, (1, 1), ceil), x)), fused_activation_function
    )


@lowers(Op.AVERAGE_POOL_2D)
def average_pool_2d(
    ctx: Lowering,
    input: Held,
    *,
    padding: int = 0,
    stride_w: int = 0,
    stride_h: int = 0,
    filter_width: int = 0,
    filter_height: int = 0,
    fused_activation_function: int = 0,
) -> Result:
    """input (N, H, W, C)."""
    x, kernel, stride = ctx.channels_first(input), (filter_height, filter_width), (stride_h, stride_w)
    around = pads(ctx, x, padding, kernel, stride)
    before, ceil = _as_torch(ctx, x, kernel, stride, around)
    if before is None:
        y = _average_by_hand(ctx, x, kernel, stride, around)
    else:
        op = ops.AvgPool2d(kernel, stride, before, ceil, count_include_pad=not any(before) and not ceil)
        y = ctx.add(op, x)
    return ctx.activated(ctx.channels_last(y), fused_activation_function)


def _as_torch(
    ctx: Lowering,
    x: Value,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    around: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[tuple[int, int] | None, bool]:
    """The padding and ceil_mode with which torch has these windows; None where it has them with none.

    torch pads both sides alike. One element more behind is what ceil_mode gives a stride above 1.
    """
    uneven = [high > low for low, high in around]
    before = (around[0][0], around[1][0])
    sizes = spatial(ctx, x)
    wanted = [(size + low + high - k) // s + 1 for size, (low, high), k, s in zip(sizes, around, kernel, stride, strict=True)]
    if min(wanted) < 1:
        raise ctx.damaged(f"a window of {kernel} over {x.type}")
    for ceil in (False, True):
        given = [_positions(size, k, s, low, ceil) for size, k, s, low in zip(sizes, kernel, stride, before, strict=True)]
        if given == wanted and (ceil or not any(uneven)) and all(2 * low <= k for low, k in zip(before, kernel, strict=True)):
            return before, ceil
    return None, False


def _positions(size: int, kernel: int, stride: int, low: int, ceil: bool) -> int:
    """How many windows torch has."""
    span = size + 2 * low - kernel
    count = (-(-span // stride) if ceil else span // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= size + low else count


def _lowest(x: Value) -> float:
    """What no maximum takes: minus infinity, or the smallest number that the integers mean."""
    return float("-inf") if x.quant is None else x.quant.range[0]


def _average_by_hand(
    ctx: Lowering,
    x: Value,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    around: tuple[tuple[int, int], tuple[int, int]],
) -> Value:
    """The mean over windows padded with zeros, times what the count differs at each position."""
    plain = ops.AvgPool2d(kernel, stride, (0, 0))
    padding = ops.Pad(((0, 0), (0, 0), *around))
    ctx.count_constant(2 * prod(spatial(ctx, x)))
    ones = torch.ones(1, 1, *spatial(ctx, x))
    correction = 1.0 / plain.run(padding.run(ones))
    return ctx.add(ops.Mul(), ctx.add(plain, ctx.add(padding, x)), ctx.constant(correction, "counts"))


@lowers(Op.L2_POOL_2D)
def l2_pool_2d(
    ctx: Lowering,
    input: Held,
    *,
    padding: int = 0,
    stride_w: int = 0,
    stride_h: int = 0,
    filter_width: int = 0,
    filter_height: int = 0,
    fused_activation_function: int = 0,
) -> Result:
    """The root of the mean of squares."""
    squares = Held(ctx.add(ops.Square(), input.value), input.order)
    options = {"stride_w": stride_w, "stride_h": stride_h, "filter_width": filter_width, "filter_height": filter_height}
    mean = average_pool_2d(ctx, squares, padding=padding, **options)
    assert isinstance(mean, Held)
    return ctx.activated(Held(ctx.add(ops.Sqrt(), mean.value), mean.order), fused_activation_function)


@lowers(Op.LOCAL_RESPONSE_NORMALIZATION)
def local_response_normalization(
    ctx: Lowering, input: Held, *, radius: int = 0, bias: float = 0.0, alpha: float = 0.0, beta: float = 0.0
) -> Result:
    """x / (bias + alpha * sum of squares of the channels within the radius) ** beta (Krizhevsky et al. 2012)."""
    x, window = ctx.channels_first(input), 2 * radius + 1
    ctx.need(x.type.rank == 4 and 0 <= radius < 1 << 12, f"of {input.shape} with a radius of {radius}")
    height, width = spatial(ctx, x)
    flat = ctx.reshape(ctx.add(ops.Square(), x), (x.shape[0], 1, x.shape[1], height * width))
    mean = ctx.add(ops.AvgPool2d((window, 1), (1, 1), (radius, 0)), flat)
    scaled = ctx.add(ops.Mul(), ctx.reshape(mean, x.shape), ctx.scalar(float(alpha) * window, torch.float32))
    total = ctx.add(ops.Add(), scaled, ctx.scalar(float(bias), torch.float32))
    return ctx.channels_last(ctx.add(ops.Div(), x, ctx.add(ops.Pow(), total, ctx.scalar(float(beta), torch.float32))))
