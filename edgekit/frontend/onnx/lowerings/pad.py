"""Padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
_LARGEST = 2**20


@lowers("Pad")
def pad(
    ctx: Lowering,
    data: Value,
    pads: Operand | Sequence[int],
    constant_value: Operand | None = None,
    axes: Operand | None = None,
    *,
    mode: str = "constant",
    value: float = 0.0,
) -> Result:
    """Elements added at both ends of dimensions; negative pads cut off."""
    rank = data.type.rank
    at = list(range(rank)) if axes is None else [ctx.axis(a, rank) for a in ctx.ints(axes, "axes")]
    sizes = ctx.ints(pads, "pads")
    ctx.need(len(sizes) == 2 * len(at) and len(set(at)) == len(at), f"has {len(sizes)} pads for {len(at)} axes")
    ctx.need(all(abs(size) <= _LARGEST for size in sizes), f"has the pads {sizes}")
    pairs = [(0, 0)] * rank
    for index, axis in enumerate(at):
        pairs[axis] = (sizes[index], sizes[index + len(at)])
    if all(pair == (0, 0) for pair in pairs):
        return data
    for axis, pair in enumerate(pairs):
        ctx.need(pair == (0, 0) or not isinstance(data.shape[axis], Batch), "pads the batch")
    if mode == "wrap":
        return _wrapped(ctx, data, pairs)
    ctx.need(mode in _MODES, f"has the mode '{mode}'")
    if mode != "constant":
        data, pairs = _cropped(ctx, data, pairs)
        for axis, (low, high) in enumerate(pairs):
            if (low, high) != (0, 0) and not _is_torchs(ctx, data, axis, max(low, high), mode):
                data = _mirrored(ctx, data, axis, low, high, mode)
                pairs[axis] = (0, 0)
        if all(pair == (0, 0) for pair in pairs):
            return data
        return ctx.add(ops.Pad(pads=tuple(pairs), mode=_MODES[mode]), data)
    number = value if constant_value is None else ctx.number(constant_value, "value")
    return ctx.add(ops.Pad(pads=tuple(pairs), value=float(number or 0)), data)


def _cropped(ctx: Lowering, x: Value, pairs: list[tuple[int, int]]) -> tuple[Value, list[tuple[int, int]]]:
    """Negative pads cut off first, and what is left of the pads."""
    for axis, (low, high) in enumerate(pairs):
        if low < 0 or high < 0:
            size = ctx.fixed(x, axis)
            first, last = max(0, -low), size - max(0, -high)
            ctx.need(first < last, f"cuts all of axis {axis} off")
            x = ctx.slice(x, axis, first, last)
    return x, [(max(0, low), max(0, high)) for low, high in pairs]


def _is_torchs(ctx: Lowering, x: Value, axis: int, size: int, mode: str) -> bool:
    """torch has this padding: of the last dimensions, and of a mirror not beyond its other end."""
    return 2 <= x.type.rank <= 4 and axis >= 1 and (mode == "edge" or size < ctx.fixed(x, axis))


def _mirrored(ctx: Lowering, x: Value, axis: int, low: int, high: int, mode: str) -> Value:
    size = ctx.fixed(x, axis)
    ctx.claim(8 * (low + size + high))
    places = torch.arange(-low, size + high)
    if mode == "edge":
        places = places.clamp(0, size - 1)
    else:
        period = max(1, 2 * (size - 1))
        places = places % period
        places = torch.where(places >= size, period - places, places)
    return ctx.add(ops.Gather(axis=axis), x, ctx.constant(places, "places"))


def _wrapped(ctx: Lowering, x: Value, pairs: list[tuple[int, int]]) -> Value:
    """The other end continues each end."""
    x, pairs = _cropped(ctx, x, pairs)
    for axis, (low, high) in enumerate(pairs):
        if (low, high) != (0, 0):
            size = ctx.fixed(x, axis)
            ctx.claim(8 * (low + size + high))
            places = torch.arange(-low, size + high) % size
            x = ctx.add(ops.Gather(axis=axis), x, ctx.constant(places, "places"))
    return x


@lowers("CenterCropPad")
def center_crop_pad(ctx: Lowering, data: Value, shape: Operand, *, axes: Sequence[int] | None = None) -> Result:
    """Cropped or padded to sizes, evenly at both ends; the odd element is at the end."""
    rank = data.type.rank
    at = list(range(rank)) if axes is None else [ctx.axis(a, rank) for a in axes]
    pairs = [(0, 0)] * rank
    for axis, size in zip(at, ctx.ints(shape, "shape"), strict=True):
        ctx.need(0 <= size <= _LARGEST, f"has the size {size}")
        more = size - ctx.fixed(data, axis)
        low = more // 2 if more > 0 else -(-more // 2)
        pairs[axis] = (low, more - low)
    return data if all(pair == (0, 0) for pair in pairs) else ctx.add(ops.Pad(pads=tuple(pairs)), data)
