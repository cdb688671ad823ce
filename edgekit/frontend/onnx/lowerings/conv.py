"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.frontend.onnx.windows import each, pads_of
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op


@lowers("Conv")
def conv(
    ctx: Lowering,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Result:
    """Over one or two dimensions."""
    count = _dimensions(ctx, x, w, kernel_shape)
    kernel = tuple(ctx.fixed(w, axis) for axis in range(2, w.type.rank))
    stride, dilation = each(ctx, strides, count, "strides"), each(ctx, dilations, count, "dilations")
    padding = pads_of(ctx, auto_pad, pads, ctx.spatial(x, count), kernel, stride, dilation)
    cls = ops.Conv1d if count == 1 else ops.Conv2d
    op = cls(stride=stride, padding=padding, dilation=dilation, groups=_groups(ctx, group, w.tensor_shape[0]))
    if any(size < 0 for pair in padding for size in pair):  # negative pads cut off
        x = ctx.add(ops.Pad(pads=((0, 0), (0, 0), *padding)), x)
        op = cls(stride=stride, dilation=dilation, groups=group)
    return ctx.add(op, x, w, b)


@lowers("ConvTranspose")
def conv_transpose(
    ctx: Lowering,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Result:
    """Over one or two dimensions. Pads that differ at both ends are cut off afterwards."""
    count = _dimensions(ctx, x, w, kernel_shape)
    kernel = tuple(ctx.fixed(w, axis) for axis in range(2, w.type.rank))
    stride, dilation = each(ctx, strides, count, "strides"), each(ctx, dilations, count, "dilations")
    extra = each(ctx, output_padding, count, "output_padding", default=0, least=0)
    sizes = ctx.spatial(x, count)
    whole = [s * (size - 1) + d * (k - 1) + 1 for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    if output_shape is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * s for size, s in zip(sizes, stride, strict=True)] if output_shape is None else output_shape[-count:]
        padding = [_shared(full + e - size, auto_pad) for full, e, size in zip(whole, extra, wanted, strict=True)]
    else:
        padding = list(pads_of(ctx, "NOTSET" if auto_pad == "VALID" else auto_pad, pads, sizes, kernel, stride, dilation))
    groups = _groups(ctx, group, w.tensor_shape[0])
    cls = ops.ConvTranspose1d if count == 1 else ops.ConvTranspose2d
    plain = all(low == high >= 0 for low, high in padding)
    fits = all(e < max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True))
    symmetric = tuple(low for low, _ in padding) if plain else (0,) * count
    given = extra if fits else (0,) * count
    op: Op = cls(stride=stride, padding=symmetric, output_padding=given, dilation=dilation, groups=groups)
    y = ctx.add(op, x, w, b)
    ctx.need(fits or b is None, f"has the output_padding {list(extra)} with the strides {list(stride)} and a bias")
    if not plain or not fits:
        cut = [
            (-low if not plain else 0, (e if not fits else 0) - (high if not plain else 0))
            for (low, high), e in zip(padding, extra, strict=True)
        ]
        y = ctx.add(ops.Pad(pads=((0, 0), (0, 0), *cut)), y)
    return y


def _shared(total: int, auto_pad: str) -> tuple[int, int]:
    """What is cut off in all, at both ends; the odd one at the end with SAME_UPPER, else at the beginning."""
    half = total // 2
    return (half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half)


def _dimensions(ctx: Lowering, x: Value, w: Value, kernel_shape: Sequence[int] | None) -> int:
    count = x.type.rank - 2
    ctx.need(count in (1, 2), f"slides over {count} dimensions", "only 1-D and 2-D convolutions are supported")
    ctx.need(w.type.rank == count + 2, f"of {x.type} has a weight {w.type}")
    given = tuple(kernel_shape) if kernel_shape is not None else w.shape[2:]
    ctx.need(given == w.shape[2:], f"says a kernel of {list(given)}, and its weight is {w.type}")
    return count


def _groups(ctx: Lowering, group: int, channels: int) -> int:
    ctx.need(group > 0 and channels % group == 0, f"has {group} groups of {channels} channels")
    return group
