"""Padding and resizing."""

from __future__ import annotations

import math

import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.frontend.tflite.windows import spatial
from edgekit.ir import Value, ops


@lowers(Op.PAD)
def pad(ctx: Lowering, x: Held, paddings: Held | Sizes) -> Result:
    """Zeros around."""
    return Held(ctx.add(ops.Pad(x.to_value(_pairs(ctx, x, paddings))), x.value), x.order)


@lowers(Op.PADV2)
def pad_v2(ctx: Lowering, x: Held, paddings: Held | Sizes, value: Held) -> Result:
    """A number around, which must be known."""
    ctx.need(ctx.is_known(value.value), "with a number that the model computes")
    number = float(value.value.tensor.reshape(-1)[0])
    return Held(ctx.add(ops.Pad(x.to_value(_pairs(ctx, x, paddings)), value=number), x.value), x.order)


@lowers(Op.MIRROR_PAD)
def mirror_pad(ctx: Lowering, x: Held, paddings: Held | Sizes, *, mode: int = 0) -> Result:
    """A mirror at the edge elements (reflect), or behind them (symmetric, by index)."""
    pairs = _pairs(ctx, x, paddings)
    touched = [axis for axis, pair in enumerate(x.to_value(pairs)) if pair != (0, 0)]
    if mode == 0 and touched and min(touched) > 0 and len(touched) <= 2 and x.rank - min(touched) <= 2 and x.rank > 2:
        return Held(ctx.add(ops.Pad(x.to_value(pairs), mode="reflect"), x.value), x.order)
    value = x.value
    for axis, (low, high) in enumerate(x.to_value(pairs)):
        size = value.shape[axis]
        if (low, high) == (0, 0):
            continue
        if not isinstance(size, int) or mode not in (0, 1) or max(low, high) > size - 1 + mode:
            raise ctx.damaged(f"it mirrors {low} and {high} of {size} elements")
        ctx.count_constant(size + low + high)
        inside = range(size)
        front = [inside[i] for i in range(low - mode, -mode, -1)] if low else []
        back = [inside[size - 2 + mode - i] for i in range(high)]
        index = ctx.constant(torch.tensor([*front, *inside, *back]), "mirrored")
        value = ctx.add(ops.Gather(axis), value, index)
    return Held(value, x.order)


def _pairs(ctx: Lowering, x: Held, paddings: Held | Sizes) -> list[tuple[int, int]]:
    numbers = ctx.ints(paddings, "paddings")
    if len(numbers) != 2 * x.rank or min(numbers, default=0) < 0:
        raise ctx.damaged(f"paddings {numbers} of {x.shape}")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@lowers(Op.RESIZE_NEAREST_NEIGHBOR)
def resize_nearest(
    ctx: Lowering, x: Held, size: Held | Sizes, *, align_corners: bool = False, half_pixel_centers: bool = False
) -> Result:
    """As torch's nearest where the same elements are taken, else by index along each axis."""
    value, target = ctx.channels_first(x), _size(ctx, size)
    picked = [_nearest(a, b, align_corners, half_pixel_centers) for a, b in zip(spatial(ctx, value), target, strict=True)]
    as_torch = [_nearest(a, b, False, False) for a, b in zip(spatial(ctx, value), target, strict=True)]
    if picked == as_torch:
        return ctx.channels_last(ctx.add(ops.Resize(target, "nearest"), value))
    for axis, index in enumerate(picked, start=2):
        value = ctx.add(ops.Gather(axis), value, ctx.constant(torch.tensor(index), "nearest"))
    return ctx.channels_last(value)


def _nearest(size: int, out: int, corners: bool, half: bool) -> list[int]:
    """The source element of each result, by LiteRT's arithmetic (``resize_nearest_neighbor.h``)."""
    scale = (size - 1) / (out - 1) if corners and out > 1 else size / out
    shift = 0.5 if half else 0.0
    places = [(i + shift) * scale for i in range(out)]
    return [min(math.floor(p + 0.5) if corners else math.floor(p + 1e-6), size - 1) for p in places]


@lowers(Op.RESIZE_BILINEAR)
def resize_bilinear(
    ctx: Lowering, x: Held, size: Held | Sizes, *, align_corners: bool = False, half_pixel_centers: bool = False
) -> Result:
    """Half-pixel or corner-aligned as in torch; TensorFlow 1's (neither) as two products with constant matrices."""
    value, target = ctx.channels_first(x), _size(ctx, size)
    sizes = spatial(ctx, value)
    if sizes == target:
        return ctx.channels_last(ctx.add(ops.Identity(), value))
    if align_corners or half_pixel_centers:
        return ctx.channels_last(ctx.add(ops.Resize(target, "bilinear", align_corners=align_corners), value))
    ctx.count_constant(sum(a * b for a, b in zip(sizes, target, strict=True)))
    for axis in (3, 2):
        matrix = ctx.constant(_blend(sizes[axis - 2], target[axis - 2]), "interpolation")
        value = _along(ctx, value, axis, matrix)
    return ctx.channels_last(value)


def _along(ctx: Lowering, value: Value, axis: int, matrix: Value) -> Value:
    """The product of a matrix (out, in) with an axis."""
    order = [*range(value.type.rank)]
    order[axis], order[-1] = order[-1], order[axis]
    return ctx.permute(ctx.add(ops.Linear(), ctx.permute(value, order), matrix, None), order)


def _blend(size: int, out: int) -> torch.Tensor:
    """The matrix (out, size) that interpolates at ``i * size / out``."""
    matrix = torch.zeros(out, size)
    for row in range(out):
        place = row * (size / out)
        low = min(int(place), size - 1)
        high = min(low + 1, size - 1)
        matrix[row, low] += 1.0 - (place - low)
        matrix[row, high] += place - low
    return matrix


def _size(ctx: Lowering, size: Held | Sizes) -> tuple[int, int]:
    numbers = ctx.ints(size, "a size")
    if len(numbers) != 2 or not all(0 < n < 1 << 16 for n in numbers):
        raise ctx.damaged(f"a size {numbers}")
    return numbers[0], numbers[1]
