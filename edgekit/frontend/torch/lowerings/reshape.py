"""Ops that show the same elements under another shape or order."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(
    aten.view.default,
    aten._unsafe_view.default,
    aten.reshape.default,
    aten.view_as.default,
    aten.reshape_as.default,
    aten.flatten.using_ints,
    aten.unflatten.int,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.ravel.default,
    aten._reshape_alias.default,
    aten.atleast_1d.default,
    aten.atleast_2d.default,
)
def reshape(ctx: Lowering, self: Value, *arguments: object, **options: object) -> Result:
    """All of these keep the elements in order; the traced result tells the shape, a -1 included."""
    return ctx.reshape(self, ctx.result.shape)


@lowers(aten.permute.default)
def permute(ctx: Lowering, self: Value, dims: Sequence[int]) -> Result:
    """Dimension i of the result is dimension ``dims[i]``."""
    return ctx.permute(self, [axis_of(d, self.type.rank) for d in dims])


@lowers(aten.transpose.int, aten.swapaxes.default, aten.swapdims.default)
def transpose(ctx: Lowering, self: Value, dim0: int, dim1: int) -> Result:
    """Two dimensions change places."""
    dims = list(range(self.type.rank))
    if dims:
        a, b = axis_of(dim0, self.type.rank), axis_of(dim1, self.type.rank)
        dims[a], dims[b] = dims[b], dims[a]
    return ctx.permute(self, dims)


@lowers(aten.t.default, aten.numpy_T.default, aten.mT.default)
def t(ctx: Lowering, self: Value) -> Result:
    """A matrix (``mT``: of the last two dimensions) transposed, a vector as it is; ``.T`` reverses all dimensions."""
    if ctx.node.target is aten.mT.default:
        return transpose(ctx, self, -2, -1)
    return ctx.permute(self, range(self.type.rank)[::-1])


@lowers(aten.movedim.int, aten.movedim.intlist, aten.moveaxis.int, aten.moveaxis.intlist)
def movedim(ctx: Lowering, self: Value, source: int | Sequence[int], destination: int | Sequence[int]) -> Result:
    """Some dimensions move, the others keep their order."""
    rank = self.type.rank
    sources = [axis_of(a, rank) for a in ([source] if isinstance(source, int) else source)]
    targets = [axis_of(a, rank) for a in ([destination] if isinstance(destination, int) else destination)]
    dims = [axis for axis in range(rank) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        dims.insert(target, axis)
    return ctx.permute(self, dims)


@lowers(
    aten.contiguous.default,
    aten.clone.default,
    aten.detach.default,
    aten.alias.default,
    aten.lift_fresh.default,
    aten.lift_fresh_copy.default,
    aten.positive.default,
    aten.view.dtype,
)
def same(ctx: Lowering, self: Value, *arguments: object, **options: object) -> Result:
    """Copies, memory formats and gradient boundaries: the same values."""
    ctx.need(self.type.dtype == ctx.result.dtype, "reads the bits of one element type as another")
    return self


@lowers(aten.expand.default, aten.expand_as.default, aten.broadcast_to.default)
def expand(ctx: Lowering, self: Value, *arguments: object, **options: object) -> Result:
    """Dimensions of size 1, and new ones in front, repeated; the traced result tells the shape."""
    return ctx.expand(self, ctx.result.shape)


@lowers(aten.repeat.default, aten.tile.default)
def repeat(ctx: Lowering, self: Value, repeats: Sequence[int]) -> Result:
    """Whole copies side by side; missing leading dimensions (of x or of the repeats) are 1."""
    rank = max(self.type.rank, len(repeats))
    padded = ctx.reshape(self, (*(1,) * (rank - self.type.rank), *self.shape))
    times = (*(1,) * (rank - len(repeats)), *repeats)
    if all(isinstance(n, int) for n in times):
        return padded if set(times) <= {1} else ctx.add(ops.Tile(repeats=times), padded)
    # A repeat that follows the batch can only be of a dimension of size 1.
    ctx.need(
        all(size == 1 or n == 1 for size, n in zip(padded.shape, times, strict=True)),
        "repeats a dimension as often as the batch is large",
    )
    return ctx.add(ops.Expand(shape=ctx.result.shape), padded)


@lowers(aten.repeat_interleave.self_int)
def repeat_interleave(
    ctx: Lowering, self: Value, repeats: int, dim: int | None = None, *, output_size: int | None = None
) -> Result:
    """Each element several times in a row: a new dimension after the axis, expanded and merged."""
    x = self if dim is not None else ctx.reshape(self, (ctx.sizes_product(self.shape),))
    axis = axis_of(dim or 0, x.type.rank)
    wide = ctx.reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
    return ctx.reshape(ctx.expand(wide, (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])), ctx.result.shape)


@lowers(aten.channel_shuffle.default)
def channel_shuffle(ctx: Lowering, self: Value, groups: int) -> Result:
    """Channels as (groups, C / groups), transposed (Zhang et al. 2017, arXiv:1707.01083)."""
    batch, channels, *spatial = self.shape
    ctx.need(isinstance(channels, int), "shuffles a dimension that depends on the batch")
    split = ctx.reshape(self, (batch, groups, self.tensor_shape[1] // groups, *spatial))
    return ctx.reshape(ctx.permute(split, (0, 2, 1, *range(3, 3 + len(spatial)))), self.shape)


@lowers(aten.pixel_shuffle.default)
def pixel_shuffle(ctx: Lowering, self: Value, upscale_factor: int) -> Result:
    """Channels become pixels."""
    return _four_dimensional(ctx, ops.PixelShuffle(factor=upscale_factor), self)


@lowers(aten.pixel_unshuffle.default)
def pixel_unshuffle(ctx: Lowering, self: Value, downscale_factor: int) -> Result:
    """Pixels become channels."""
    return _four_dimensional(ctx, ops.PixelUnshuffle(factor=downscale_factor), self)


def _four_dimensional(ctx: Lowering, op: ops.Op, x: Value) -> Value:
    if x.type.rank == 4:
        return ctx.add(op, x)
    ctx.need(x.type.rank == 3, f"of {x.type}", "give it one batch dimension")
    return ctx.reshape(ctx.add(op, ctx.reshape(x, (1, *x.shape))), ctx.result.shape)
