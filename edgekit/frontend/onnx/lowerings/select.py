"""Parts of tensors, and tensors put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch, Dim


@lowers("Concat")
def concat(ctx: Lowering, *inputs: Value, axis: int = 1) -> Result:
    """One after the other."""
    ctx.need(bool(inputs), "has no inputs")
    at = ctx.axis(axis, inputs[0].type.rank)
    return inputs[0] if len(inputs) == 1 else ctx.add(ops.Concat(axis=at), *inputs)


@lowers("Split")
def split(
    ctx: Lowering,
    x: Value,
    split: Operand | Sequence[int] | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
) -> Result:
    """Parts of given sizes, or equal ones of which the last may be smaller."""
    at = ctx.axis(axis, x.type.rank)
    size = ctx.fixed(x, at)
    count = num_outputs or len(ctx.node.output)
    ctx.need(0 < count <= max(len(ctx.node.output), 1), f"has {len(ctx.node.output)} outputs for {count} parts")
    if split is None:
        part = -(-size // count)
        sizes = [max(0, min(part, size - index * part)) for index in range(count)]
    else:
        sizes = ctx.ints(split, "split")
    ctx.need(sum(sizes) == size and min(sizes) >= 0, f"makes parts of {sizes} of {x.type}")
    read = [index for index in range(len(sizes)) if ctx.reads(index)]
    if len(sizes) == 1:
        return (x,)
    if len(read) == 1:  # one part alone is a slice
        start = sum(sizes[: read[0]])
        part_read = ctx.slice(x, at, start, start + sizes[read[0]])
        return tuple(part_read if index == read[0] else None for index in range(len(sizes)))
    if x.is_constant:
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        return tuple(ctx.slice(x, at, start, start + length) for start, length in zip(starts, sizes, strict=True))
    return ctx.add_node(ops.Split(axis=at, sizes=tuple(sizes)), x).outputs


@lowers("Slice")
def slice_(
    ctx: Lowering,
    data: Value,
    starts: Operand | Sequence[int],
    ends: Operand | Sequence[int],
    axes: Operand | Sequence[int] | None = None,
    steps: Operand | Sequence[int] | None = None,
) -> Result:
    """Bounds are clipped as Python does; a negative step goes backwards."""
    first, last = ctx.dims(starts, "starts"), ctx.dims(ends, "ends")
    at = list(range(len(first))) if axes is None else [ctx.axis(a, data.type.rank) for a in ctx.ints(axes, "axes")]
    step = [1] * len(first) if steps is None else ctx.ints(steps, "steps")
    ctx.need(len(first) == len(last) == len(at) == len(step) == len(set(at)), "has bounds of different numbers")
    ctx.need(len(at) <= data.type.rank and 0 not in step, f"has the steps {step} for {data.type}")
    for axis, start, stop, by in zip(at, first, last, step, strict=True):
        data = _cut(ctx, data, axis, start, stop, by)
    return data


def _cut(ctx: Lowering, x: Value, axis: int, start: Dim, stop: Dim, step: int) -> Value:
    size = x.shape[axis]
    if isinstance(size, Batch) or isinstance(start, Batch) or isinstance(stop, Batch):
        whole = start == 0 and step == 1 and (stop == size or (isinstance(stop, int) and stop >= 2**31 - 1))
        ctx.need(whole, "takes a part of the batch", "keep the batch whole, or fix it: batch_axes={name: None}")
        return x
    if step > 0:
        first, last, _ = slice(start, stop, step).indices(size)
        return ctx.slice(x, axis, first, max(first, last), step)
    places = range(size)[slice(start, None if stop < -size else stop, step)]
    if not places:
        return ctx.slice(x, axis, 0, 0)
    part = ctx.slice(x, axis, places[-1], places[0] + 1, 1)
    turned = ctx.add(ops.Flip(axes=(axis,)), part)
    return ctx.slice(turned, axis, 0, places[0] - places[-1] + 1, -step)


@lowers("Gather")
def gather(ctx: Lowering, data: Value, indices: Operand, *, axis: int = 0) -> Result:
    """Rows of a table; one known index is a slice."""
    at = ctx.axis(axis, data.type.rank)
    index = ctx.tensor(indices)
    size = ctx.fixed(data, at)
    if not index.is_constant:
        return ctx.add(ops.Gather(axis=at), data, index if _is_embedding(data, index) else _from_the_front(ctx, index, size))
    numbers = index.tensor.to(torch.int64)
    inside = bool(((numbers >= -size) & (numbers < size)).all())
    ctx.need(inside, f"reads beyond the {size} elements of axis {at}")
    numbers = torch.where(numbers < 0, numbers + size, numbers)
    if numbers.numel() == 1 and not data.is_constant:
        first = int(numbers.reshape(()))
        part = ctx.slice(data, at, first, first + 1)
        return ctx.reshape(part, (*data.shape[:at], *numbers.shape, *data.shape[at + 1 :]))
    return ctx.add(ops.Gather(axis=at), data, ctx.constant(numbers, "indices"))


def _is_embedding(data: Value, index: Value) -> bool:
    """Ids of tokens that the user gives are no places counted from the end."""
    return data.is_constant and index.producer is None


def _from_the_front(ctx: Lowering, index: Value, size: int) -> Value:
    """An index that is computed may count from the end."""
    wide = ctx.cast(index, torch.int64)
    negative = ctx.add(ops.Less(), wide, ctx.scalar(0, torch.int64))
    return ctx.add(ops.Where(), negative, ctx.add(ops.Add(), wide, ctx.scalar(size, torch.int64)), wide)


@lowers("GatherElements")
def gather_elements(ctx: Lowering, data: Value, indices: Operand, *, axis: int = 0) -> Result:
    """One element for each index, along an axis: a gather from the flattened tensor at places known while loading."""
    at = ctx.axis(axis, data.type.rank)
    index = ctx.known(indices, "indices").to(torch.int64)
    ctx.need(not data.type.has_batch and index.dim() == data.type.rank, f"of {data.type}")
    size = ctx.fixed(data, at)
    index = torch.where(index < 0, index + size, index)
    ctx.need(bool(((index >= 0) & (index < size)).all()), f"reads beyond the {size} elements of axis {at}")
    ctx.claim(8 * data.type.numel())
    places = torch.arange(data.type.numel()).reshape(data.tensor_shape)
    fits = all(a <= b for axis, (a, b) in enumerate(zip(index.shape, places.shape, strict=True)) if axis != at)
    ctx.need(fits, f"has indices of the shape {list(index.shape)} for {data.type}")
    flat = ctx.reshape(data, (data.type.numel(),))
    return ctx.add(ops.Gather(axis=0), flat, ctx.constant(torch.gather(places, at, index), "indices"))


@lowers("GatherND")
def gather_nd(ctx: Lowering, data: Value, indices: Operand, *, batch_dims: int = 0) -> Result:
    """Slices at places known while loading."""
    index = ctx.known(indices, "indices").to(torch.int64)
    ctx.need(not data.type.has_batch and index.dim() > 0, f"of {data.type}")
    depth = index.shape[-1]
    ctx.need(batch_dims + depth <= data.type.rank and batch_dims >= 0, f"has indices of {depth} numbers for {data.type}")
    heads, tail = data.tensor_shape[: batch_dims + depth], data.tensor_shape[batch_dims + depth :]
    sizes = torch.tensor(heads[batch_dims:])
    index = torch.where(index < 0, index + sizes, index)
    ctx.need(bool(((index >= 0) & (index < sizes)).all()), f"reads beyond {data.type}")
    strides = [1] * len(heads)
    for axis in range(len(heads) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * heads[axis + 1]
    places = (index * torch.tensor(strides[batch_dims:])).sum(-1)
    for axis in range(batch_dims):
        ctx.need(places.shape[axis] == heads[axis], f"has indices of the shape {list(index.shape)} for {data.type}")
        shape = [-1 if each == axis else 1 for each in range(places.dim())]
        places = places + (torch.arange(heads[axis]) * strides[axis]).reshape(shape)
    count = 1
    for size in heads:
        count *= size
    return ctx.add(ops.Gather(axis=0), ctx.reshape(data, (count, *tail)), ctx.constant(places, "indices"))


@lowers("OneHot")
def one_hot(ctx: Lowering, indices: Value, depth: Operand, values: Value, *, axis: int = -1) -> Result:
    """values[1] where the new dimension's position is the index, else values[0]."""
    (size,) = ctx.ints(depth, "depth")
    ctx.need(0 < size <= 2**20, f"has the depth {size}")
    at = ctx.axis(axis, indices.type.rank + 1)
    index = ctx.reshape(ctx.cast(indices, torch.int64), (*indices.shape[:at], 1, *indices.shape[at:]))
    negative = ctx.add(ops.Less(), index, ctx.scalar(0, torch.int64))
    index = ctx.add(ops.Where(), negative, ctx.add(ops.Add(), index, ctx.scalar(size, torch.int64)), index)
    shape = tuple(size if each == at else 1 for each in range(index.type.rank))
    hit = ctx.add(ops.Equal(), index, ctx.reshape(ctx.constant(torch.arange(size), "positions"), shape))
    off, on = (ctx.reshape(ctx.slice(values, 0, k, k + 1), ()) for k in (0, 1))
    return ctx.add(ops.Where(), hit, on, off)


@lowers("Trilu")
def trilu(ctx: Lowering, x: Value, k: Operand | None = None, *, upper: int = 1) -> Result:
    """Zero below (``upper``) or above the k-th diagonal."""
    (diagonal,) = ctx.ints(k, "diagonal") if k is not None else (0,)
    ctx.need(x.type.rank >= 2, f"of {x.type}")
    rows, columns = ctx.fixed(x, -2), ctx.fixed(x, -1)
    ctx.claim(4 * rows * columns)
    ones = torch.ones(rows, columns)
    kept = torch.triu(ones, diagonal) if upper else torch.tril(ones, diagonal)
    return ctx.add(ops.Where(), ctx.constant(kept > 0, "kept"), x, ctx.scalar(0, x.type.dtype))


@lowers("ReverseSequence")
def reverse_sequence(ctx: Lowering, x: Value, sequence_lens: Operand, *, batch_axis: int = 1, time_axis: int = 0) -> Result:
    """The first elements of each sequence backwards; their numbers are known while loading."""
    lengths = ctx.ints(sequence_lens, "lengths")
    batch, time = ctx.axis(batch_axis, x.type.rank), ctx.axis(time_axis, x.type.rank)
    count, steps = ctx.fixed(x, batch), ctx.fixed(x, time)
    ctx.need(len(lengths) == count and all(0 <= n <= steps for n in lengths), f"has the lengths {lengths} for {x.type}")
    ctx.claim(64 * count * steps)
    order = [batch, time, *(axis for axis in range(x.type.rank) if axis not in (batch, time))]
    moved = ctx.permute(x, order)
    rows = [[*range(n)[::-1], *range(n, steps)] for n in lengths]
    places = torch.tensor([row * steps + at for row, inside in enumerate(rows) for at in inside])
    flat = ctx.reshape(moved, (count * steps, *moved.shape[2:]))
    back = ctx.reshape(ctx.add(ops.Gather(axis=0), flat, ctx.constant(places, "places")), moved.shape)
    return ctx.permute(back, [order.index(axis) for axis in range(x.type.rank)])
