"""Padding and resizing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.pad.default)
def pad(ctx: Lowering, self: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Result:
    """``F.pad``: pairs from the last dimension on; negative pads cut off."""
    return _circular(ctx, self, pad) if mode == "circular" else _pad(ctx, self, pad, mode, value or 0.0)


@lowers(aten.constant_pad_nd.default)
def constant_pad_nd(ctx: Lowering, self: Value, pad: Sequence[int], value: float = 0) -> Result:
    """With a number."""
    return _pad(ctx, self, pad, "constant", value)


@lowers(aten.reflection_pad1d.default, aten.reflection_pad2d.default)
def reflection_pad(ctx: Lowering, self: Value, padding: Sequence[int]) -> Result:
    """With the mirrored inside, the edge not repeated."""
    return _pad(ctx, self, padding, "reflect", 0.0)


@lowers(aten.replication_pad1d.default, aten.replication_pad2d.default)
def replication_pad(ctx: Lowering, self: Value, padding: Sequence[int]) -> Result:
    """With the edge."""
    return _pad(ctx, self, padding, "replicate", 0.0)


def _circular(ctx: Lowering, x: Value, pad: Sequence[int]) -> Value:
    """The other end of the dimension on each side."""
    for count, (low, high) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        axis = x.type.rank - 1 - count
        size = x.shape[axis]
        if not isinstance(size, int) or low < 0 or high < 0:
            raise ctx.refused("a circular pad of the batch, or a negative one")
        parts = [ctx.slice(x, axis, size - low, size)] if low else []
        parts += [x, *([ctx.slice(x, axis, 0, high)] if high else [])]
        x = ctx.add(ops.Concat(axis=axis), *parts) if len(parts) > 1 else x
    return x


def _pad(ctx: Lowering, x: Value, pad: Sequence[int], mode: str, value: float) -> Value:
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
    pads = (*((0, 0),) * (x.type.rank - len(pairs)), *pairs)
    for axis, (low, high) in enumerate(pads):
        if low < 0 or high < 0:
            size = x.shape[axis]
            if not isinstance(size, int):
                raise ctx.refused("a negative pad cuts off a part of the batch")
            x = ctx.slice(x, axis, max(0, -low), size - max(0, -high))
    grown = tuple((max(0, low), max(0, high)) for low, high in pads)
    if all(pair == (0, 0) for pair in grown):
        return x
    return ctx.add(ops.Pad(pads=grown, mode=mode, value=float(value)), x)


@lowers(aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec)
def upsample_nearest(
    ctx: Lowering, input: Value, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None
) -> Result:
    """The element that the position rounds down to."""
    return _resize(ctx, input, "nearest", False, scale_factors)


@lowers(aten.upsample_linear1d.vec, aten.upsample_bilinear2d.vec)
def upsample_linear(
    ctx: Lowering, input: Value, output_size: Sequence[int] | None, align_corners: bool, scale_factors: Sequence[float] | None
) -> Result:
    """Interpolated between neighbours."""
    return _resize(ctx, input, "bilinear", align_corners, scale_factors)


@lowers(aten.upsample_nearest1d.default)
def upsample_nearest1d(ctx: Lowering, self: Value, output_size: Sequence[int], scales: float | None = None) -> Result:
    """Decomposed programs."""
    return _resize(ctx, self, "nearest", False, None if scales is None else [scales])


@lowers(aten.upsample_nearest2d.default)
def upsample_nearest2d(
    ctx: Lowering, self: Value, output_size: Sequence[int], scales_h: float | None = None, scales_w: float | None = None
) -> Result:
    """Decomposed programs."""
    return _resize(ctx, self, "nearest", False, None if scales_h is None or scales_w is None else [scales_h, scales_w])


@lowers(aten.upsample_linear1d.default)
def upsample_linear1d(
    ctx: Lowering, self: Value, output_size: Sequence[int], align_corners: bool, scales: float | None = None
) -> Result:
    """Decomposed programs."""
    return _resize(ctx, self, "bilinear", align_corners, None if scales is None else [scales])


@lowers(aten.upsample_bilinear2d.default)
def upsample_bilinear2d(
    ctx: Lowering,
    self: Value,
    output_size: Sequence[int],
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Result:
    """Decomposed programs."""
    scales = None if scales_h is None or scales_w is None else [scales_h, scales_w]
    return _resize(ctx, self, "bilinear", align_corners, scales)


def _resize(ctx: Lowering, x: Value, mode: str, align_corners: bool, scales: Sequence[float] | None) -> Value:
    """The traced result tells the size; a scale factor is kept only where it differs from the ratio of the sizes."""
    size = tuple(d for d in ctx.result.shape[2:] if isinstance(d, int))
    ratios = [out / side for out, side in zip(size, x.tensor_shape[2:], strict=True)]
    same = scales is None or list(scales) == ratios
    return ctx.add(
        ops.Resize(size=size, mode=mode, align_corners=align_corners, scales=None if same else tuple(scales or ())), x
    )
