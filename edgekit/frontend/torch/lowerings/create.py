"""Tensors made from nothing but a shape. Fixed ones are computed while loading; these are the ones that follow the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.torch.context import Lowering, Number
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value

aten = torch.ops.aten


@lowers(
    aten.zeros.default,
    aten.zeros_like.default,
    aten.new_zeros.default,
    aten.zero.default,
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.new_empty.default,
)
def zeros(ctx: Lowering, *arguments: object, **options: object) -> Result:
    """Full of 0; the traced result tells shape and type. What is empty may hold anything, so it holds 0."""
    return ctx.filled(ctx.result.shape, 0, ctx.result.dtype)


@lowers(aten.ones.default, aten.ones_like.default, aten.new_ones.default)
def ones(ctx: Lowering, *arguments: object, **options: object) -> Result:
    """Full of 1."""
    return ctx.filled(ctx.result.shape, 1, ctx.result.dtype)


@lowers(aten.full.default, aten.new_full.default, aten.full_like.default, aten.fill.Scalar)
def full(
    ctx: Lowering, first: Value | Sequence[int], second: Number | Sequence[int], third: Number | None = None, **options: object
) -> Result:
    """Full of a number, the last positional argument."""
    value = third if third is not None else second
    if not isinstance(value, int | float):
        raise ctx.refused("the value is not known while loading")
    return ctx.filled(ctx.result.shape, value, ctx.result.dtype)


@lowers(aten.fill.Tensor)
def fill(ctx: Lowering, self: Value, value: Value) -> Result:
    """Full of the one element of a tensor."""
    return ctx.expand(ctx.reshape(ctx.cast(value, self.type.dtype), (1,) * self.type.rank), self.shape)


@lowers(aten.copy.default)
def copy(ctx: Lowering, self: Value, src: Value, non_blocking: bool = False) -> Result:
    """The other tensor's values in this one's shape and type."""
    return ctx.expand(ctx.cast(src, self.type.dtype), self.shape)


@lowers(aten.arange.default, aten.arange.start, aten.arange.start_step)
def arange(ctx: Lowering, *arguments: object, **options: object) -> Result:
    """Only fixed ones exist (computed while loading): this one's length is the batch."""
    raise ctx.refused(
        "'aten.arange' counts the samples of the batch",
        "keep samples independent of each other, or fix the batch: batch_axes={name: None}",
    )
