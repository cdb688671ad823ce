"""Ops that give elements another shape or place."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.constants import DTYPES
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes, plain
from edgekit.frontend.tflite.reshaping import reshaped, resolve
from edgekit.frontend.tflite.sizes import of_dims
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch, Dim


@lowers(Op.RESHAPE)
def reshape(ctx: Lowering, x: Held | Sizes, shape: Held | Sizes | None = None, *, new_shape: tuple[int, ...] = ()) -> Result:
    """The shape stands in the second input, in old files in the options."""
    x = ctx.tensor(x, "input")
    wanted = list(new_shape) if shape is None else ctx.dims(shape, "a shape")
    if shape is not None and isinstance(shape, Held) and shape.shape == (0,) and new_shape:
        wanted = list(new_shape)
    return reshaped(ctx, x, resolve(ctx, x.shape, wanted))


@lowers(Op.SQUEEZE)
def squeeze(ctx: Lowering, x: Held, *, squeeze_dims: tuple[int, ...] = ()) -> Result:
    """Without dimensions of size 1: those named, or all."""
    gone = [axis % x.rank for axis in squeeze_dims] or [axis for axis, size in enumerate(x.shape) if size == 1]
    if any(x.shape[axis] != 1 for axis in gone):
        raise ctx.damaged(f"it drops the dimensions {gone} of {x.shape}")
    return reshaped(ctx, x, [size for axis, size in enumerate(x.shape) if axis not in gone])


@lowers(Op.EXPAND_DIMS)
def expand_dims(ctx: Lowering, x: Held, axis: Held | Sizes) -> Result:
    """A new dimension of size 1."""
    place = ctx.one(axis, "an axis")
    place += x.rank + 1 if place < 0 else 0
    if not 0 <= place <= x.rank:
        raise ctx.damaged(f"a new axis {place} of {x.shape}")
    return reshaped(ctx, x, (*x.shape[:place], 1, *x.shape[place:]))


@lowers(Op.TRANSPOSE)
def transpose(ctx: Lowering, x: Held, perm: Held | Sizes) -> Result:
    """Nothing moves yet: only the order of the axes is another."""
    dims = ctx.ints(perm, "a permutation")
    if sorted(dims) != [*range(x.rank)]:
        raise ctx.damaged(f"a permutation {dims} of {x.shape}")
    return Held(x.value, tuple(x.order[axis] for axis in dims))


@lowers(Op.SHAPE)
def shape_of(ctx: Lowering, x: Held | Sizes, *, out_type: int = 0) -> Result:
    """Known while the file is read, the batch as N."""
    dims = list(x.shape) if isinstance(x, Held) else list(x.array.shape)
    return Sizes(of_dims(dims))


@lowers(Op.RANK)
def rank_of(ctx: Lowering, x: Held) -> Result:
    """The number of dimensions."""
    return Sizes(np.array(x.rank, object))


@lowers(Op.TILE)
def tile(ctx: Lowering, x: Held, multiples: Held | Sizes) -> Result:
    """Repeated along each dimension."""
    repeats = ctx.ints(multiples, "multiples")
    if len(repeats) != x.rank or min(repeats, default=1) < 1:
        raise ctx.damaged(f"{repeats} repeats of {x.shape}")
    return Held(ctx.add(ops.Tile(x.to_value(repeats)), x.value), x.order)


@lowers(Op.BROADCAST_TO)
def broadcast_to(ctx: Lowering, x: Held, shape: Held | Sizes) -> Result:
    """To a shape; where the file says its own number of samples, the batch."""
    wanted = _with_batch(ctx, ctx.dims(shape, "a shape"))
    present = (*(1,) * (len(wanted) - x.rank), *x.shape)
    full = [a if b in (1, ctx.in_file(a)) else b for a, b in zip(present, wanted, strict=True)]
    return plain(ctx.expand(ctx.plain(x), full))


@lowers(Op.FILL)
def fill(ctx: Lowering, dims: Held | Sizes, value: Held) -> Result:
    """A tensor full of one number, which must be known."""
    ctx.need(ctx.is_known(value.value), "with a number that the model computes")
    number = value.value.tensor.reshape(-1)[0].item()
    return plain(ctx.filled(_with_batch(ctx, ctx.dims(dims, "a shape")), number, value.value.type.dtype))


def _with_batch(ctx: Lowering, shape: list[Dim]) -> list[Dim]:
    """A shape that begins with the file's number of samples begins with the batch; 1 says nothing and broadcasts."""
    samples = ctx.building.batch
    return [Batch(1), *shape[1:]] if samples > 1 and shape and shape[0] == samples else shape


@lowers(Op.REVERSE_V2)
def reverse(ctx: Lowering, x: Held, axes: Held | Sizes) -> Result:
    """Backwards along axes."""
    return Held(ctx.add(ops.Flip(tuple(sorted(x.axis(a) for a in ctx.ints(axes, "axes")))), x.value), x.order)


@lowers(Op.DEPTH_TO_SPACE)
def depth_to_space(ctx: Lowering, x: Held, *, block_size: int = 0) -> Result:
    """TensorFlow has the places of a block before the channels, ``pixel_shuffle`` behind them."""
    value, block = ctx.channels_first(x), block_size
    channels = value.shape[1] if value.type.rank == 4 else 0
    if block < 1 or not isinstance(channels, int) or channels % block**2 or not channels:
        raise ctx.damaged(f"blocks of {block} from {x.shape}")
    sorted_ = _exchanged(ctx, value, block**2, channels // block**2)
    return ctx.channels_last(ctx.add(ops.PixelShuffle(block), sorted_))


@lowers(Op.SPACE_TO_DEPTH)
def space_to_depth(ctx: Lowering, x: Held, *, block_size: int = 0) -> Result:
    """The way back."""
    value, block = ctx.channels_first(x), block_size
    if block < 1 or value.type.rank != 4 or any(not isinstance(s, int) or s % block for s in value.shape[2:]):
        raise ctx.damaged(f"blocks of {block} of {x.shape}")
    mixed = ctx.add(ops.PixelUnshuffle(block), value)
    return ctx.channels_last(_exchanged(ctx, mixed, int(value.shape[1]), block**2))


def _exchanged(ctx: Lowering, x: Value, first: int, second: int) -> Value:
    """Channel a * second + b of x (N, first * second, H, W) goes to b * first + a."""
    apart = ctx.reshape(x, (x.shape[0], first, second, *x.shape[2:]))
    return ctx.reshape(ctx.permute(apart, (0, 2, 1, 3, 4)), x.shape)


@lowers(Op.RANGE)
def range_(ctx: Lowering, start: Held | Sizes, limit: Held | Sizes, delta: Held | Sizes) -> Result:
    """Integers that are known while the file is read."""
    numbers = range(ctx.one(start, "a start"), ctx.one(limit, "a limit"), ctx.one(delta, "a step"))
    ctx.count_constant(len(numbers))
    kind = DTYPES[ctx.tensors[ctx.operator.outputs[0]].type]
    return plain(ctx.constant(torch.tensor(list(numbers), dtype=kind), "range"))
