"""Parts of tensors, and tensors from parts."""

from __future__ import annotations

import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes, plain
from edgekit.frontend.tflite.joined import flat
from edgekit.frontend.tflite.reshaping import reshaped
from edgekit.frontend.tflite.slices import Cut, cut_out, strided_cuts
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import ops
from edgekit.ir.types import Batch


@lowers(Op.SLICE)
def slice_(ctx: Lowering, x: Held, begin: Held | Sizes, size: Held | Sizes) -> Result:
    """``size`` elements from ``begin``; -1 for all that follow."""
    starts, counts = ctx.dims(begin, "a begin"), ctx.dims(size, "a size")
    if len(starts) != x.rank or len(counts) != x.rank:
        raise ctx.damaged(f"a slice of {len(starts)} dimensions of {x.shape}")
    cuts: list[Cut | None] = []
    for start, count, whole in zip(starts, counts, x.shape, strict=True):
        if isinstance(whole, Batch) or isinstance(count, Batch) or isinstance(start, Batch):
            ctx.need(start == 0 and count in (whole, ctx.in_file(whole), -1), "of samples", "slice within a sample")
            cuts.append(None)
            continue
        stop = whole if count == -1 else start + count
        if 0 <= start == stop <= whole and ctx.building.calls:  # what stands before the first step of a loop
            return plain(ctx.constant(torch.zeros(*[0] * x.rank, dtype=x.value.type.dtype), "nothing"))
        if not 0 <= start < stop <= whole:
            raise ctx.damaged(f"the elements {start} to {stop} of {whole}")
        cuts.append(Cut(start, stop, 1))
    return cut_out(ctx, x, cuts)


@lowers(Op.STRIDED_SLICE)
def strided_slice(
    ctx: Lowering,
    x: Held,
    begin: Held | Sizes,
    end: Held | Sizes,
    strides: Held | Sizes,
    *,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Result:
    """Python's slices: masks leave out a bound, insert an axis, or take one element and drop its axis."""
    bounds = (ctx.dims(begin, "a begin"), ctx.dims(end, "an end"), ctx.ints(strides, "strides"))
    masks = (begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    cuts, shape_after = strided_cuts(ctx, x, bounds, masks)
    return reshaped(ctx, cut_out(ctx, x, cuts), shape_after)


@lowers(Op.SPLIT)
def split(ctx: Lowering, axis: Held | Sizes, x: Held, *, num_splits: int = 0) -> Result:
    """Equal parts."""
    return _parts(ctx, x, ctx.one(axis, "an axis"), [-1] * len(ctx.operator.outputs))


@lowers(Op.SPLIT_V)
def split_v(ctx: Lowering, x: Held, sizes: Held | Sizes, axis: Held | Sizes, *, num_splits: int = 0) -> Result:
    """Parts of given sizes; one may be -1."""
    return _parts(ctx, x, ctx.one(axis, "an axis"), ctx.ints(sizes, "sizes"))


def _parts(ctx: Lowering, x: Held, axis: int, sizes: list[int]) -> tuple[Held, ...]:
    place = x.axis(axis)
    whole = x.value.shape[place]
    if not isinstance(whole, int) or not sizes:
        raise ctx.refused(f"'{ctx.op_name}' of samples", "split within a sample")
    open_ = sizes.count(-1)
    left = whole - sum(size for size in sizes if size != -1)
    filled = [left // open_ if size == -1 else size for size in sizes]
    if sum(filled) != whole or min(filled) < 1:
        raise ctx.damaged(f"parts of {sizes} of {whole} elements")
    if len(filled) == 1:
        return (Held(ctx.add(ops.Identity(), x.value), x.order),)
    return tuple(Held(value, x.order) for value in ctx.add_node(ops.Split(place, tuple(filled)), x.value).outputs)


@lowers(Op.CONCATENATION)
def concatenation(ctx: Lowering, *parts: Held | Sizes, axis: int = 0, fused_activation_function: int = 0) -> Result:
    """One after the other; a constant part is repeated for every sample."""
    tensors = [ctx.tensor(part, "a part") for part in parts]
    tensors = [t for t in tensors if 0 not in t.shape]
    if len({t.rank for t in tensors}) != 1:
        raise ctx.damaged("its parts have different numbers of dimensions")
    values, order = ctx.aligned(*tensors)
    values = [ctx.reshape(v, (*(1,) * (len(order) - v.type.rank), *v.shape)) for v in values]
    place = order[axis % len(order)]
    batch = next((v.shape[0] for v in values if isinstance(v.shape[0], Batch)), None)
    if batch is not None and place != 0:
        values = [v if isinstance(v.shape[0], Batch) else ctx.expand(v, (batch, *v.shape[1:])) for v in values]
    if ctx.building.calls:
        values = flat(values, place)
    whole = Held(ctx.add(ops.Concat(place), *values) if len(values) > 1 else ctx.add(ops.Identity(), values[0]), order)
    return ctx.activated(whole, fused_activation_function)


@lowers(Op.DYNAMIC_UPDATE_SLICE)
def dynamic_update_slice(ctx: Lowering, x: Held, update: Held, start: Held | Sizes) -> Result:
    """x with a part of it replaced, from a place that is known while the file is read (a step of a loop)."""
    starts = ctx.ints(start, "a start")
    if not x.rank == update.rank == len(starts):
        raise ctx.damaged(f"{update.shape} at {starts} of {x.shape}")
    sizes = [(ctx.in_file(whole), ctx.in_file(part)) for whole, part in zip(x.shape, update.shape, strict=True)]
    partly = [axis for axis, (whole, part) in enumerate(sizes) if whole != part]
    ctx.need(len(partly) <= 1, "of several dimensions at once", "replace whole rows")
    if not partly:
        return update
    (axis,) = partly
    whole, part = sizes[axis]
    if part > whole:
        raise ctx.damaged(f"{update.shape} in {x.shape}")
    first = min(max(starts[axis], 0), whole - part)
    before, after = (
        [cut_out(ctx, x, [Cut(low, high, 1) if other == axis else None for other in range(x.rank)])] if low < high else []
        for low, high in ((0, first), (first + part, whole))
    )
    return concatenation(ctx, *before, update, *after, axis=axis)


@lowers(Op.PACK)
def pack(ctx: Lowering, *parts: Held | Sizes, axis: int = 0, values_count: int = 0) -> Result:
    """Side by side along a new axis."""
    tensors = [ctx.tensor(part, "a part") for part in parts]
    place = axis % (tensors[0].rank + 1)
    expanded = [reshaped(ctx, t, (*t.shape[:place], 1, *t.shape[place:])) for t in tensors]
    return concatenation(ctx, *expanded, axis=place)


@lowers(Op.UNPACK)
def unpack(ctx: Lowering, x: Held, *, num: int = 0, axis: int = 0) -> Result:
    """One tensor for each index of an axis, without it."""
    place = axis % x.rank
    parts = _parts(ctx, x, place, [1] * len(ctx.operator.outputs))
    return tuple(reshaped(ctx, part, (*part.shape[:place], *part.shape[place + 1 :])) for part in parts)


@lowers(Op.GATHER)
def gather(ctx: Lowering, x: Held, indices: Held | Sizes, *, axis: int = 0, batch_dims: int = 0) -> Result:
    """Elements by index along an axis; a constant table is an embedding."""
    index = ctx.plain(ctx.tensor(indices, "indices"))
    ctx.need(batch_dims == 0, f"with batch_dims={batch_dims}", "gather along one axis without batch dimensions")
    table = ctx.plain(x)
    if ctx.is_known(table) and table.type.rank == 2 and not ctx.is_known(index):
        table = ctx.parameter(table, "weight")
    if not -x.rank <= axis < x.rank:
        raise ctx.damaged(f"axis {axis} of {x.shape}")
    return plain(ctx.add(ops.Gather(axis % x.rank), table, index))


@lowers(Op.EMBEDDING_LOOKUP)
def embedding_lookup(ctx: Lowering, indices: Held, table: Held) -> Result:
    """Rows of a table."""
    return gather(ctx, table, indices, axis=0)
