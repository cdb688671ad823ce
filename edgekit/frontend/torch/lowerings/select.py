"""Parts of tensors, and tensors put together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch, Dim

aten = torch.ops.aten


@lowers(aten.cat.default, aten.concat.default, aten.concatenate.default)
def cat(ctx: Lowering, tensors: Sequence[Value], dim: int = 0) -> Result:
    """One after the other; torch lets an empty vector stand among them."""
    xs = [x for x in tensors if x.shape != (0,)] or list(tensors[:1])
    xs = [ctx.cast(x, ctx.result.dtype) for x in xs]
    return xs[0] if len(xs) == 1 else ctx.add(ops.Concat(axis=axis_of(dim, xs[0].type.rank)), *xs)


@lowers(aten.stack.default)
def stack(ctx: Lowering, tensors: Sequence[Value], dim: int = 0) -> Result:
    """Along a new dimension."""
    axis = axis_of(dim, tensors[0].type.rank + 1)
    rows = [ctx.reshape(ctx.cast(x, ctx.result.dtype), (*x.shape[:axis], 1, *x.shape[axis:])) for x in tensors]
    return rows[0] if len(rows) == 1 else ctx.add(ops.Concat(axis=axis), *rows)


@lowers(aten.split_with_sizes.default, aten.split.sizes)
def split_with_sizes(ctx: Lowering, self: Value, split_sizes: Sequence[Dim], dim: int = 0) -> Result:
    """Parts of given sizes."""
    return _split(ctx, self, split_sizes, dim)


@lowers(aten.split.Tensor)
def split(ctx: Lowering, self: Value, split_size: int, dim: int = 0) -> Result:
    """Parts of one size, the last may be smaller; the traced results tell the sizes."""
    return _split_as_traced(ctx, self, dim)


@lowers(aten.chunk.default)
def chunk(ctx: Lowering, self: Value, chunks: int, dim: int = 0) -> Result:
    """Equal parts, the last may be smaller."""
    return _split_as_traced(ctx, self, dim)


@lowers(aten.tensor_split.sections, aten.tensor_split.indices)
def tensor_split(ctx: Lowering, self: Value, indices_or_sections: object, dim: int = 0) -> Result:
    """Parts as numpy makes them."""
    return _split_as_traced(ctx, self, dim)


@lowers(aten.unbind.int)
def unbind(ctx: Lowering, self: Value, dim: int = 0) -> Result:
    """Every index of a dimension by itself."""
    axis = axis_of(dim, self.type.rank)
    ctx.need(isinstance(self.shape[axis], int), "takes the batch apart")
    parts = _split(ctx, self, (1,) * self.tensor_shape[axis], axis)
    return tuple(ctx.reshape(part, (*part.shape[:axis], *part.shape[axis + 1 :])) for part in parts)


@lowers(aten.slice.Tensor)
def slice_(ctx: Lowering, self: Value, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1) -> Result:
    """``x[start:end:step]`` along one dimension; bounds are clipped as Python does."""
    axis = axis_of(dim, self.type.rank)
    size = self.shape[axis]
    if isinstance(size, int):
        ctx.need(not isinstance(start, Batch) and not isinstance(end, Batch), "has bounds that depend on the batch")
        assert not isinstance(start, Batch) and not isinstance(end, Batch)
        first, last, _ = slice(start, end, step).indices(size)
        return ctx.slice(self, axis, first, max(first, last), step)
    whole_end = end is None or end == size or (isinstance(end, int) and end >= 2**31)
    ctx.need(start in (None, 0) and whole_end and step == 1, "takes a part of the batch")
    return self


@lowers(aten.narrow.default)
def narrow(ctx: Lowering, self: Value, dim: int, start: Dim, length: Dim) -> Result:
    """``length`` elements from ``start``."""
    axis = axis_of(dim, self.type.rank)
    if start == 0 and length == self.shape[axis]:
        return self
    if not isinstance(start, int) or not isinstance(length, int):
        raise ctx.refused("'aten.narrow' takes a part of the batch")
    first = start + self.tensor_shape[axis] if start < 0 else start
    return ctx.slice(self, axis, first, first + length)


@lowers(aten.select.int)
def select(ctx: Lowering, self: Value, dim: int, index: Dim) -> Result:
    """One index of a dimension, which goes."""
    axis = axis_of(dim, self.type.rank)
    size = self.shape[axis]
    if not isinstance(index, int) or not isinstance(size, int):
        raise ctx.refused(
            "'aten.select' takes one sample of the batch", "keep the batch whole, or fix it: batch_axes={name: None}"
        )
    first = axis_of(index, size)
    return ctx.reshape(ctx.slice(self, axis, first, first + 1), (*self.shape[:axis], *self.shape[axis + 1 :]))


@lowers(aten.flip.default)
def flip(ctx: Lowering, self: Value, dims: Sequence[int]) -> Result:
    """Reversed along dimensions."""
    axes = tuple(sorted(axis_of(d, self.type.rank) for d in dims))
    ctx.need(not any(isinstance(self.shape[a], Batch) for a in axes), "reverses the batch")
    return ctx.add(ops.Flip(axes=axes), self)


@lowers(aten.roll.default)
def roll(ctx: Lowering, self: Value, shifts: Sequence[int], dims: Sequence[int] = ()) -> Result:
    """Rotated; without dimensions the flattened tensor is."""
    if not dims:
        ctx.need(not self.type.has_batch, "rotates over the batch")
        flat = ctx.add(ops.Roll(shifts=tuple(shifts), axes=(0,)), ctx.reshape(self, (self.type.numel(),)))
        return ctx.reshape(flat, self.shape)
    return ctx.add(ops.Roll(shifts=tuple(shifts), axes=tuple(axis_of(d, self.type.rank) for d in dims)), self)


def _split_as_traced(ctx: Lowering, x: Value, dim: int) -> tuple[Value, ...]:
    axis = axis_of(dim, x.type.rank)
    return _split(ctx, x, [ctx.sizes.dim(part.shape[axis]) for part in ctx.node.meta["val"]], axis)


def _split(ctx: Lowering, x: Value, sizes: Sequence[Dim], dim: int) -> tuple[Value, ...]:
    """A ``Split``; parts that nobody reads make slices of the others cheaper, so one part alone is a slice."""
    axis = axis_of(dim, x.type.rank)
    if len(sizes) == 1:
        return (x,)
    fixed = tuple(size for size in sizes if isinstance(size, int))
    ctx.need(len(fixed) == len(sizes), "takes the batch apart", "keep the batch whole")
    read = [index for index in range(len(fixed)) if ctx.reads(index)]
    if len(read) == 1:
        stops = list(accumulate(fixed))
        part = ctx.slice(x, axis, stops[read[0]] - fixed[read[0]], stops[read[0]])
        return tuple(part for _ in fixed)
    return ctx.add_node(ops.Split(axis=axis, sizes=fixed), x).outputs
