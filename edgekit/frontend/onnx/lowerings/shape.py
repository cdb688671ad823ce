"""Operators that show the same elements under another shape or order, or repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.sizes import Sizes, objects
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch, Dim


@lowers("Shape")
def shape_(ctx: Lowering, data: Operand, *, start: int = 0, end: int | None = None) -> Result:
    """Known while loading; the batch stays a symbol."""
    dims = data.array.shape if isinstance(data, Sizes) else data.shape
    return ctx.data(objects(dims[start:end]))


@lowers("Size")
def size_(ctx: Lowering, data: Operand) -> Result:
    """The number of elements."""
    dims = data.array.shape if isinstance(data, Sizes) else data.shape
    return ctx.data(objects([ctx.sizes_product(dims)], ()))


@lowers("Reshape")
def reshape(ctx: Lowering, data: Value, shape: Operand | Sequence[int], *, allowzero: int = 0) -> Result:
    """0 keeps a size, -1 takes what is left."""
    wanted = ctx.dims(shape, "shape")
    return ctx.reshape(data, resolved(ctx, data, wanted, allowzero=bool(allowzero)))


def resolved(ctx: Lowering, x: Value, wanted: Sequence[Dim], *, allowzero: bool = False) -> tuple[Dim, ...]:
    """The sizes that a Reshape means: without 0 and -1, and with as many elements as x has."""
    dims: list[Dim] = []
    for axis, dim in enumerate(wanted):
        if dim == 0 and not allowzero:
            ctx.need(axis < x.type.rank, f"keeps axis {axis} of {x.type}")
            dim = x.shape[axis]
        dims.append(dim)
    shown = f"makes {_text(wanted)} of {x.type}"
    ctx.need(all(isinstance(d, Batch) or d >= -1 for d in dims) and dims.count(-1) <= 1, shown)
    total, batches = _count(x.shape)
    others, taken = _count([d for d in dims if d != -1])
    if -1 in dims:
        ctx.need(others > 0 and total % others == 0 and 0 <= batches - taken <= 1, shown, _fixes_batch(x, dims))
        rest = total // others
        dims[dims.index(-1)] = Batch(rest) if batches > taken else rest
    else:
        ctx.need((total, batches) == (others, taken), shown, _fixes_batch(x, dims))
    return tuple(dims)


def _count(dims: Sequence[Dim]) -> tuple[int, int]:
    """Number of elements at batch 1, and how many dimensions depend on the batch."""
    return prod(d.multiple if isinstance(d, Batch) else d for d in dims), sum(isinstance(d, Batch) for d in dims)


def _fixes_batch(x: Value, dims: Sequence[Dim]) -> str | None:
    if x.type.has_batch and not any(isinstance(d, Batch) for d in dims):
        return "the file was exported for one batch size: export it with a free batch, or fix it: batch_axes={name: None}"
    return None


def _text(dims: Sequence[Dim]) -> str:
    return f"[{','.join(map(str, dims))}]"


@lowers("Flatten")
def flatten(ctx: Lowering, x: Value, *, axis: int = 1) -> Result:
    """Two dimensions: all before the axis, all from it on."""
    at = axis + x.type.rank if axis < 0 else axis
    ctx.need(0 <= at <= x.type.rank, f"has the axis {axis} of {x.type.rank} dimensions")
    return ctx.reshape(x, (ctx.sizes_product(x.shape[:at]), ctx.sizes_product(x.shape[at:])))


@lowers("Squeeze")
def squeeze(ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None) -> Result:
    """Without dimensions of size 1: those named, or all."""
    found = ctx.axes(axes, data.type.rank)
    gone = [axis for axis, d in enumerate(data.shape) if d == 1] if found is None else list(found)
    ctx.need(all(data.shape[axis] == 1 for axis in gone), f"takes the axes {gone} from {data.type}")
    return ctx.reshape(data, [d for axis, d in enumerate(data.shape) if axis not in gone])


@lowers("Unsqueeze")
def unsqueeze(ctx: Lowering, data: Value, axes: Operand | Sequence[int]) -> Result:
    """With dimensions of size 1 at these places of the result."""
    rank = data.type.rank + len(ctx.ints(axes, "axes"))
    found = ctx.axes(axes, rank) or ()
    rest = iter(data.shape)
    return ctx.reshape(data, [1 if axis in found else next(rest) for axis in range(rank)])


@lowers("Transpose")
def transpose(ctx: Lowering, data: Value, *, perm: Sequence[int] | None = None) -> Result:
    """Reversed without ``perm``."""
    rank = data.type.rank
    dims = [ctx.axis(axis, rank) for axis in (range(rank)[::-1] if perm is None else perm)]
    ctx.need(sorted(dims) == list(range(rank)), f"has perm {list(perm or ())} for {data.type}")
    return ctx.permute(data, dims)


@lowers("Expand")
def expand(ctx: Lowering, x: Value, shape: Operand) -> Result:
    """Both broadcast: a 1 in the shape keeps the size."""
    wanted = ctx.dims(shape, "shape")
    rank = max(len(wanted), x.type.rank)
    old: list[Dim] = [*(1,) * (rank - x.type.rank), *x.shape]
    new: list[Dim] = [*(1,) * (rank - len(wanted)), *wanted]
    dims = [a if b == 1 else b for a, b in zip(old, new, strict=True)]
    fits = all(a in (1, b) for a, b in zip(old, dims, strict=True))
    ctx.need(fits and all(isinstance(d, Batch) or d >= 0 for d in dims), f"makes {_text(wanted)} of {x.type}")
    return ctx.expand(x, dims)


@lowers("Tile")
def tile(ctx: Lowering, x: Value, repeats: Operand) -> Result:
    """Whole copies side by side; a dimension of size 1 may be repeated as often as the batch is large."""
    times = ctx.dims(repeats, "repeats")
    ctx.need(len(times) == x.type.rank, f"has {len(times)} repeats for {x.type}")
    if any(isinstance(n, Batch) for n in times):
        fits = all(size == 1 or n == 1 for size, n in zip(x.shape, times, strict=True))
        ctx.need(fits, "repeats a dimension as often as the batch is large")
        return ctx.expand(x, [size if n == 1 else n for size, n in zip(x.shape, times, strict=True)])
    numbers = tuple(int(n) for n in times if not isinstance(n, Batch))
    ctx.need(all(n >= 0 for n in numbers), f"has the repeats {list(numbers)}")
    return x if set(numbers) <= {1} else ctx.add(ops.Tile(repeats=numbers), x)


@lowers("DepthToSpace")
def depth_to_space(ctx: Lowering, x: Value, *, blocksize: int, mode: str = "DCR") -> Result:
    """Channels become pixels: in the order column-row-depth as torch's pixel shuffle, else depth first."""
    ctx.need(x.type.rank == 4 and blocksize > 0, f"of {x.type} with blocks of {blocksize}")
    batch, channels, height, width = x.shape
    ctx.need(isinstance(channels, int) and channels % blocksize**2 == 0, f"of {x.type} with blocks of {blocksize}")
    if mode == "CRD":
        return ctx.add(ops.PixelShuffle(factor=blocksize), x)
    ctx.need(mode == "DCR", f"has the mode '{mode}'")
    depth = ctx.fixed(x, 1) // blocksize**2
    split = ctx.reshape(x, (batch, blocksize, blocksize, depth, height, width))
    moved = ctx.reshape(ctx.permute(split, (0, 3, 1, 2, 4, 5)), x.shape)
    return ctx.add(ops.PixelShuffle(factor=blocksize), moved)


@lowers("SpaceToDepth")
def space_to_depth(ctx: Lowering, x: Value, *, blocksize: int, mode: str = "DCR") -> Result:
    """Pixels become channels: in the order column-row-depth as torch's pixel unshuffle, else the place in the block first."""
    ctx.need(x.type.rank == 4 and blocksize > 0, f"of {x.type} with blocks of {blocksize}")
    _, height, width = (ctx.fixed(x, axis) for axis in (1, 2, 3))
    ctx.need(height % blocksize == 0 and width % blocksize == 0, f"of {x.type} with blocks of {blocksize}")
    y = ctx.add(ops.PixelUnshuffle(factor=blocksize), x)
    if mode == "CRD":
        return y
    batch, _, rows, columns = y.shape
    split = ctx.reshape(y, (batch, x.shape[1], blocksize**2, rows, columns))
    return ctx.reshape(ctx.permute(split, (0, 2, 1, 3, 4)), y.shape)
