"""Resize. What torch's interpolation gives is the graph's op; all else is an index or a matrix for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import numpy as np
import torch

from edgekit.frontend.onnx import interpolation
from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.interpolation import LARGEST, Axis, Settings
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch


@lowers("Upsample")
def upsample(ctx: Lowering, x: Value, scales: Operand | Sequence[float] | None = None, *, mode: str = "nearest") -> Result:
    """What Resize was before opset 10."""
    ctx.need(scales is not None, "has no scales")
    return _resized(ctx, x, None, scales, None, None, Settings(mode, "asymmetric", "floor"), "stretch", 0.0)


@lowers("Resize")
def resize(
    ctx: Lowering,
    x: Value,
    roi: Operand | None = None,
    scales: Operand | None = None,
    sizes: Operand | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Result:
    """To sizes, or by factors; opset 10 has only factors, as its second input."""
    if ctx.opset < 11:
        return _resized(ctx, x, None, roi, None, None, Settings(mode, "asymmetric", "floor"), "stretch", 0.0)
    settings = Settings(
        mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside), bool(antialias)
    )
    part = roi if coordinate_transformation_mode == "tf_crop_and_resize" else None
    return _resized(ctx, x, part, scales, sizes, axes, settings, keep_aspect_ratio_policy, extrapolation_value)


def _resized(
    ctx: Lowering,
    x: Value,
    roi: Operand | None,
    scales: Operand | Sequence[float] | None,
    sizes: Operand | None,
    axes: Sequence[int] | None,
    settings: Settings,
    policy: str,
    extrapolation: float,
) -> Value:
    rank = x.type.rank
    at = list(range(rank)) if axes is None else [ctx.axis(a, rank) for a in axes]
    rows = _axes(ctx, x, at, roi, scales, sizes, policy)
    ctx.need(settings.mode in ("nearest", "linear", "cubic"), f"has the mode '{settings.mode}'")
    ctx.need(settings.mode == "nearest" or x.type.is_float, f"interpolates {x.type}", "cast to float32 first")
    for row in rows.values() if settings.coordinates == "align_corners" else ():
        ctx.need(
            row.new == 1 or abs(row.scale * row.old - row.new) < 1e-3,
            f"aligns the corners of {row.scale * row.old:g} elements, and ONNX's text and its runtimes read different ones",
            "export it with the new sizes in place of factors",
        )
    try:
        result = _by_op(ctx, x, rows, settings) or _by_axis(ctx, x, rows, settings)
        beyond = {axis: interpolation.outside(row, settings) for axis, row in rows.items()}
    except KeyError as error:
        raise ctx.refused(f"'{ctx.op_name}' has the unknown mode {error}") from None
    if not any(flags.any() for flags in beyond.values()):
        return result
    mask = np.zeros((1,) * rank, dtype=bool)
    for axis, flags in beyond.items():
        mask = mask | flags.reshape([-1 if each == axis else 1 for each in range(rank)])
    return ctx.add(ops.Where(), ctx.constant(torch.from_numpy(mask)), ctx.scalar(extrapolation, x.type.dtype), result)


def _axes(
    ctx: Lowering,
    x: Value,
    at: list[int],
    roi: Operand | None,
    scales: Operand | Sequence[float] | None,
    sizes: Operand | None,
    policy: str,
) -> dict[int, Axis]:
    """The axes that change."""
    factors = _factors(ctx, scales)
    wanted = [] if sizes is None else ctx.dims(sizes, "sizes")
    ctx.need(len(factors) == len(at) or len(wanted) == len(at), "has neither factors nor sizes for its axes")
    bounds = [] if roi is None else [float(v) for v in ctx.known(roi, "region").reshape(-1).tolist()]
    bounds = bounds if len(bounds) == 2 * len(at) else [0.0] * len(at) + [1.0] * len(at)
    if wanted and policy != "stretch":
        ctx.need(policy in ("not_larger", "not_smaller"), f"has the policy '{policy}'")
        ratios = [int(new) / ctx.fixed(x, axis) for axis, new in zip(at, wanted, strict=True) if not isinstance(new, Batch)]
        factor = min(ratios) if policy == "not_larger" else max(ratios)
        wanted = [floor(factor * ctx.fixed(x, axis) + 0.5) for axis in at]
        factors = [factor] * len(at)
    rows: dict[int, Axis] = {}
    for index, axis in enumerate(at):
        old, start, end = x.shape[axis], bounds[index], bounds[len(at) + index]
        new = wanted[index] if wanted else None
        if isinstance(old, Batch):
            ctx.need(new == old or (new is None and factors[index] == 1), "resizes the batch")
            continue
        if isinstance(new, Batch):
            raise ctx.refused(f"'{ctx.op_name}' takes a size from the batch")
        size = floor(old * factors[index]) if new is None else int(new)
        scale = factors[index] if factors else size / max(old, 1)
        ctx.need(0 < size <= LARGEST and 0 < old <= LARGEST and scale > 0, f"makes {size} of {old} elements")
        ctx.claim(16 * size * old)
        if (size, start, end) != (old, 0.0, 1.0) or scale != 1:
            rows[axis] = Axis(old, size, scale, start, end)
    return rows


def _factors(ctx: Lowering, scales: Operand | Sequence[float] | None) -> list[float]:
    if scales is None:
        return []
    if isinstance(scales, Sequence):
        return list(scales)
    return [float(number) for number in ctx.known(scales, "scales").reshape(-1).tolist()]


def _by_op(ctx: Lowering, x: Value, rows: dict[int, Axis], settings: Settings) -> Value | None:
    """torch's interpolation, if it reads the same elements with the same weights on every spatial axis."""
    spatial = range(2, x.type.rank)
    if not rows or x.type.rank not in (3, 4) or not set(rows) <= set(spatial) or not x.type.is_float:
        return None
    if settings.mode == "cubic" or any(isinstance(x.shape[axis], Batch) for axis in spatial):
        return None
    size = tuple(rows[axis].new if axis in rows else ctx.fixed(x, axis) for axis in spatial)
    mode = "nearest" if settings.mode == "nearest" else "bilinear"
    for corners in (False, True) if mode == "bilinear" else (False,):
        op = ops.Resize(size=size, mode=mode, align_corners=corners)
        if all(_same(op, ctx.fixed(x, axis), axis - 2, rows.get(axis), settings) for axis in spatial):
            return ctx.add(op, x)
    return None


def _same(op: ops.Resize, old: int, index: int, row: Axis | None, settings: Settings) -> bool:
    """The op has ONNX's weights on one axis."""
    wanted = _weights(row, settings) if row is not None else np.eye(old)
    one = op.with_(size=op.size[index : index + 1])
    got = one.run(torch.eye(old, dtype=torch.float64)[None])
    assert isinstance(got, torch.Tensor)
    return bool(np.allclose(got[0].T.numpy(), wanted, atol=1e-6))


def _weights(row: Axis, settings: Settings) -> interpolation.Array:
    if settings.mode == "nearest":
        return np.asarray(np.eye(row.old)[interpolation.nearest(row, settings)])
    return interpolation.matrix(row, settings)


def _by_axis(ctx: Lowering, x: Value, rows: dict[int, Axis], settings: Settings) -> Value:
    """Axis by axis: a gather, or a product with a constant matrix."""
    for axis, row in rows.items():
        if settings.mode == "nearest":
            index = interpolation.nearest(row, settings)
            x = ctx.add(ops.Gather(axis=axis), x, ctx.constant(torch.from_numpy(index), "positions"))
            continue
        order = [each for each in range(x.type.rank) if each != axis] + [axis]
        weights = ctx.matrix(_weights(row, settings), x.type.dtype, "weights")
        y = ctx.add(ops.Linear(), ctx.permute(x, order), weights, None)
        x = ctx.permute(y, [order.index(each) for each in range(x.type.rank)])
    return x
