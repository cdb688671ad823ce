"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.conv1d.default, aten.conv2d.default)
def conv(
    ctx: Lowering,
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Result:
    """Padding is the same on both sides of a dimension."""
    pads = tuple((p, p) for p in _each(padding, weight))
    return _conv(ctx, input, weight, bias, stride, pads, dilation, groups)


@lowers(aten.conv1d.padding, aten.conv2d.padding)
def conv_padding(
    ctx: Lowering,
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sequence[int] = (1,),
    padding: str = "valid",
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Result:
    """``"same"`` pads ``dilation * (kernel - 1)`` in all, the odd one at the end (stride is 1 then)."""
    pads = tuple((0, 0) for _ in weight.shape[2:])
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(_each(dilation, weight), weight.tensor_shape[2:], strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in totals)
    return _conv(ctx, input, weight, bias, stride, pads, dilation, groups)


@lowers(aten.conv_transpose1d.default, aten.conv_transpose2d.input)
def conv_transpose(
    ctx: Lowering,
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Result:
    """The adjoint of a convolution; weight is (C, O / groups, *kernel)."""
    cls = ops.ConvTranspose1d if weight.type.rank == 3 else ops.ConvTranspose2d
    op = cls(
        stride=_each(stride, weight),
        padding=_each(padding, weight),
        output_padding=_each(output_padding, weight),
        dilation=_each(dilation, weight),
        groups=groups,
    )
    return _batched(ctx, op, input, weight, bias)


@lowers(aten.convolution.default)
def convolution(
    ctx: Lowering,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Result:
    """The one op that decomposed programs have for all convolutions."""
    ctx.need(weight.type.rank in (3, 4), "slides over three dimensions", "only 1-D and 2-D convolutions are supported")
    if transposed:
        return conv_transpose(ctx, input, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(ctx, input, weight, bias, stride, padding, dilation, groups)


def _conv(
    ctx: Lowering,
    input: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    pads: tuple[tuple[int, int], ...],
    dilation: Sequence[int],
    groups: int,
) -> Value:
    cls = ops.Conv1d if weight.type.rank == 3 else ops.Conv2d
    op = cls(stride=_each(stride, weight), padding=pads, dilation=_each(dilation, weight), groups=groups)
    return _batched(ctx, op, input, weight, bias)


def _batched(ctx: Lowering, op: ops.Op, input: Value, weight: Value, bias: Value | None) -> Value:
    """torch takes a single sample without a batch dimension as well."""
    if input.type.rank == weight.type.rank:
        return ctx.add(op, input, weight, bias)
    out = ctx.add(op, ctx.reshape(input, (1, *input.shape)), weight, bias)
    return ctx.reshape(out, out.shape[1:])


def _each(setting: Sequence[int], weight: Value) -> tuple[int, ...]:
    """A setting per spatial dimension; one number stands for all of them."""
    count = weight.type.rank - 2
    return tuple(setting) * count if len(setting) == 1 else tuple(setting)
