"""``F.interpolate(mode="nearest-exact")``: the element whose centre is nearest, as image libraries resize."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten._upsample_nearest_exact1d.vec, aten._upsample_nearest_exact2d.vec)
def nearest_exact(
    ctx: Lowering, input: Value, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None
) -> Result:
    """A resize to the nearest where that picks the same elements (whole factors), else a look-up a dimension."""
    sizes, wanted = input.tensor_shape[2:], [size for size in ctx.result.shape[2:] if isinstance(size, int)]
    scales: Sequence[float | None] = scale_factors or [None] * len(sizes)
    picked = [_picked("nearest-exact", *each) for each in zip(sizes, wanted, scales, strict=True)]
    plain = [_picked("nearest", *each) for each in zip(sizes, wanted, scales, strict=True)]
    if all(torch.equal(a, b) for a, b in zip(picked, plain, strict=True)):
        return ctx.add(ops.Resize(size=tuple(wanted)), input)
    for axis, index in enumerate(picked, start=2):
        input = ctx.add(ops.Gather(axis=axis), input, ctx.constant(index.to(ctx.device), "nearest"))
    return input


def _picked(mode: str, size: int, out: int, scale: float | None) -> torch.Tensor:
    """The index that each output element is read from."""
    places = torch.arange(size, dtype=torch.float32).reshape(1, 1, size)
    if scale is None:
        return F.interpolate(places, size=out, mode=mode).reshape(-1).long()
    return F.interpolate(places, scale_factor=scale, mode=mode, recompute_scale_factor=False).reshape(-1).long()
