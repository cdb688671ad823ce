"""Look-ups by index."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch

aten = torch.ops.aten


@lowers(aten.embedding.default)
def embedding(
    ctx: Lowering, weight: Value, indices: Value, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Result:
    """Rows of a table. ``padding_idx`` and the two flags act on gradients only."""
    return ctx.add(ops.Gather(axis=0), weight, indices)


@lowers(aten.index_select.default)
def index_select(ctx: Lowering, self: Value, dim: int, index: Value) -> Result:
    """Indices along one dimension."""
    axis = axis_of(dim, self.type.rank)
    ctx.need(not isinstance(self.shape[axis], Batch), "picks samples of the batch")
    return ctx.add(ops.Gather(axis=axis), self, index)


@lowers(aten.index.Tensor)
def index(ctx: Lowering, self: Value, indices: Sequence[Value | None]) -> Result:
    """``x[:, i, j]``: adjacent integer indices are one look-up in the dimensions they merge into."""
    used = [axis for axis, i in enumerate(indices) if i is not None]
    given = [i for i in indices if i is not None]
    ctx.need(
        all(i.type.dtype != torch.bool for i in given),
        "selects with a mask: the size of its result is not fixed",
        "use torch.where",
    )
    ctx.need(
        used == list(range(used[0], used[-1] + 1)), "has indices apart from each other", "index one dimension after the other"
    )
    ctx.need(
        not any(isinstance(self.shape[a], Batch) for a in used), "picks samples of the batch", "gather along another dimension"
    )
    first, sizes = used[0], [self.tensor_shape[a] for a in used]
    flat = ctx.reshape(self, (*self.shape[:first], prod(sizes), *self.shape[used[-1] + 1 :]))
    return ctx.add(ops.Gather(axis=first), flat, _linear(ctx, given, sizes))


@lowers(aten.index_put.default)
def index_put(ctx: Lowering, self: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False) -> Result:
    """``x[mask] = value``: the value where the mask holds."""
    mask = indices[0] if len(indices) == 1 else None
    if mask is None or mask.type.dtype != torch.bool or accumulate or values.type.numel() != 1:
        raise ctx.refused("an assignment to indexed elements", "assign to slices, or use torch.where with a mask")
    mask = ctx.reshape(mask, (*mask.shape, *(1,) * (self.type.rank - mask.type.rank)))
    value = ctx.reshape(ctx.cast(values, self.type.dtype), ())
    return ctx.add(ops.Where(), mask, value, self)


@lowers(aten.index_fill.int_Scalar)
def index_fill(ctx: Lowering, self: Value, dim: int, index: Value, value: float) -> Result:
    """A number at fixed indices of one dimension."""
    axis = axis_of(dim, self.type.rank)
    size = self.shape[axis]
    if not isinstance(size, int) or not ctx.is_known(index):
        raise ctx.refused("an assignment to indexed elements", "assign to slices, or use torch.where with a mask")
    mask = torch.zeros(size, dtype=torch.bool, device=ctx.device)
    mask[index.tensor] = True
    shaped = mask.reshape(size, *(1,) * (self.type.rank - 1 - axis))
    return ctx.add(ops.Where(), ctx.constant(shaped, "mask"), ctx.scalar(value, self.type.dtype), self)


@lowers(aten.unfold.default)
def unfold(ctx: Lowering, self: Value, dimension: int, size: int, step: int) -> Result:
    """Windows along a dimension: one look-up, then the window's own dimension goes last."""
    axis = axis_of(dimension, self.type.rank)
    length = self.shape[axis]
    if not isinstance(length, int):
        raise ctx.refused("'aten.unfold' makes windows of samples")
    starts = torch.arange(0, length - size + 1, step, device=ctx.device)
    windows = starts[:, None] + torch.arange(size, device=ctx.device)
    found = ctx.add(ops.Gather(axis=axis), self, ctx.constant(windows, "windows"))
    return ctx.permute(found, [*range(axis + 1), *range(axis + 2, found.type.rank), axis + 1])


@lowers(aten.im2col.default)
def im2col(
    ctx: Lowering,
    self: Value,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Result:
    """``F.unfold``: one look-up among the positions of the padded picture, then channels and taps become one dimension."""
    if self.type.rank != 4 or not all(isinstance(size, int) for size in self.shape[1:]):
        raise ctx.refused("'aten.im2col' of anything but (N, C, H, W)", "give it a batch")
    if any(padding):
        self = ctx.add(ops.Pad(((0, 0), (0, 0), *((pad, pad) for pad in padding))), self)
    batch, channels, height, width = self.shape
    rows, columns = (
        _taps(size, kernel, step, spread, ctx)
        for size, kernel, step, spread in zip((height, width), kernel_size, stride, dilation, strict=True)
    )
    # (kernel height, kernel width, windows down, windows across)
    places = rows[:, None, :, None] * width + columns[None, :, None, :]
    taps, windows = len(rows) * len(columns), places.shape[2] * places.shape[3]
    flat = ctx.add(ops.Reshape((batch, channels, height * width)), self)
    found = ctx.add(ops.Gather(axis=2), flat, ctx.constant(places.reshape(taps, windows), "windows"))
    return ctx.add(ops.Reshape((batch, channels * taps, windows)), found)


def _taps(size: int, kernel: int, step: int, spread: int, ctx: Lowering) -> torch.Tensor:
    """(kernel, windows): where each tap of each window lies along one dimension."""
    starts = torch.arange(0, size - (kernel - 1) * spread, step, device=ctx.device)
    return torch.arange(kernel, device=ctx.device)[:, None] * spread + starts


def _linear(ctx: Lowering, indices: Sequence[Value], sizes: Sequence[int]) -> Value:
    """Row-major position from an index per dimension; negative constants are wrapped."""
    position: Value | None = None
    for i, size in zip(indices, sizes, strict=True):
        if ctx.is_known(i):
            i = ctx.constant(torch.where(i.tensor < 0, i.tensor + size, i.tensor), "index")
        if position is None:
            position = i
            continue
        scaled = ctx.add(ops.Mul(), position, ctx.scalar(size, position.type.dtype))
        position = ctx.add(ops.Add(), scaled, ctx.cast(i, position.type.dtype))
    assert position is not None
    return position
