"""Normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops


@lowers("BatchNormalization")
def batch_norm(
    ctx: Lowering,
    x: Value,
    scale: Value,
    b: Value,
    mean: Value,
    var: Value,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    training_mode: int = 0,
    is_test: int = 1,
) -> Result:
    """With the running statistics. ONNX's momentum is the share of the old ones, torch's that of the new."""
    ctx.need(not training_mode and bool(is_test), "is in training mode", "export the model in evaluation mode")
    ctx.need(bool(spatial), "has statistics for each position")
    ctx.need(x.type.rank >= 2, f"of {x.type}")
    if all(statistic.is_constant for statistic in (scale, b, mean, var)) and x.type.is_float:
        op = ops.BatchNorm(eps=epsilon, momentum=1 - momentum)
        like = [ctx.cast(v, x.type.dtype) for v in (scale, b, mean, var)]
        return (ctx.add_node(op, x, *like).outputs[0], *[None] * 4)
    shape = (x.shape[1], *(1,) * (x.type.rank - 2))
    scale, b, mean, var = (ctx.reshape(value, shape) for value in (scale, b, mean, var))
    root = ctx.add(ops.Rsqrt(), ctx.add(ops.Add(), var, ctx.scalar(epsilon, var.type.dtype)))
    normal = ctx.add(ops.Mul(), ctx.add(ops.Sub(), x, mean), root)
    return (ctx.add(ops.Add(), ctx.add(ops.Mul(), normal, scale), b), *[None] * 4)


@lowers("InstanceNormalization")
def instance_norm(ctx: Lowering, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Result:
    """Each channel of each sample over its positions."""
    ctx.need(x.type.rank > 2, f"of {x.type}")
    if _is_plain(ctx, scale, b):
        return ctx.add(ops.InstanceNorm(eps=epsilon), x, None, None)
    if scale.is_constant and b.is_constant:
        return ctx.add(ops.InstanceNorm(eps=epsilon), x, scale, b)
    shape = (scale.shape[0], *(1,) * (x.type.rank - 2))
    normal = ctx.add(ops.InstanceNorm(eps=epsilon), x, None, None)
    return ctx.add(ops.Add(), ctx.add(ops.Mul(), normal, ctx.reshape(scale, shape)), ctx.reshape(b, shape))


def _is_plain(ctx: Lowering, scale: Value, b: Value) -> bool:
    """Ones and zeros that are no initialisers: exporters write group norms with them."""
    if not scale.is_constant or not b.is_constant or {id(scale), id(b)} & set(ctx.building.weights):
        return False
    return bool((scale.tensor == 1).all()) and not bool(b.tensor.any())


@lowers("LayerNormalization")
def layer_norm(
    ctx: Lowering,
    x: Value,
    scale: Value,
    b: Value | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Result:
    """Over the dimensions from the axis on; mean and reciprocal deviation are computed where they are read."""
    at = ctx.axis(axis, x.type.rank)
    count = x.type.rank - at
    normal = _scaled(ctx, ops.LayerNorm(axes=count, eps=epsilon), x, scale, b, x.shape[at:])
    axes = tuple(range(at, x.type.rank))
    mean = ctx.add(ops.Mean(axes=axes, keepdim=True), x) if ctx.reads(1) or ctx.reads(2) else None
    if not ctx.reads(2):
        return normal, mean, None
    assert mean is not None
    var = ctx.add(ops.Mean(axes=axes, keepdim=True), ctx.add(ops.SquaredDifference(), x, mean))
    return normal, mean, ctx.add(ops.Rsqrt(), ctx.add(ops.Add(), var, ctx.scalar(epsilon, x.type.dtype)))


@lowers("RMSNormalization")
def rms_norm(ctx: Lowering, x: Value, scale: Value, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Result:
    """x over the root of its mean square, over the dimensions from the axis on."""
    at = ctx.axis(axis, x.type.rank)
    return _scaled(ctx, ops.RmsNorm(axes=x.type.rank - at, eps=epsilon), x, scale, None, x.shape[at:])


def _scaled(
    ctx: Lowering,
    op: ops.LayerNorm | ops.RmsNorm,
    x: Value,
    scale: Value,
    b: Value | None,
    shape: Sequence[object],
) -> Value:
    """With scale and bias in the op where they are constants of the normalised shape, else behind it."""
    shape = tuple(shape)
    within = scale.is_constant and scale.shape == shape and (b is None or (b.is_constant and b.shape == shape))
    if within:
        return ctx.add(op, x, scale, b) if isinstance(op, ops.LayerNorm) else ctx.add(op, x, scale)
    normal = ctx.add(op, x, None, None) if isinstance(op, ops.LayerNorm) else ctx.add(op, x, None)
    normal = ctx.add(ops.Mul(), normal, scale)
    return normal if b is None else ctx.add(ops.Add(), normal, b)


@lowers("GroupNormalization")
def group_norm(
    ctx: Lowering,
    x: Value,
    scale: Value,
    bias: Value,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Result:
    """Scale and bias per channel from opset 21 on, per group before."""
    channels = ctx.fixed(x, 1)
    ctx.need(num_groups > 0 and channels % num_groups == 0, f"has {num_groups} groups of {channels} channels")
    if ctx.opset < 21:
        each = channels // num_groups
        scale, bias = (
            ctx.reshape(ctx.expand(ctx.reshape(v, (num_groups, 1)), (num_groups, each)), (channels,)) for v in (scale, bias)
        )
    op = ops.GroupNorm(groups=num_groups, eps=epsilon)
    if scale.is_constant and bias.is_constant:
        return ctx.add(op, x, scale, bias)
    shape = (channels, *(1,) * (x.type.rank - 2))
    normal = ctx.add(op, x, None, None)
    return ctx.add(ops.Add(), ctx.add(ops.Mul(), normal, ctx.reshape(scale, shape)), ctx.reshape(bias, shape))


@lowers("LpNormalization")
def lp_normalization(ctx: Lowering, x: Value, *, axis: int = -1, p: int = 2) -> Result:
    """x over its norm along an axis; a norm of zero leaves zeros."""
    ctx.need(p in (1, 2), f"of order {p}")
    at = (ctx.axis(axis, x.type.rank),)
    ctx.fixed(x, at[0])
    if p == 1:
        norm = ctx.add(ops.Sum(axes=at, keepdim=True), ctx.add(ops.Abs(), x))
    else:
        norm = ctx.add(ops.Sqrt(), ctx.add(ops.Sum(axes=at, keepdim=True), ctx.add(ops.Square(), x)))
    zero = ctx.add(ops.Equal(), norm, ctx.scalar(0.0, x.type.dtype))
    divisor = ctx.add(ops.Add(), norm, ctx.cast(zero, x.type.dtype))
    return ctx.add(ops.Div(), x, divisor)


@lowers("LRN")
def local_response_norm(
    ctx: Lowering, x: Value, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Result:
    """x / (bias + alpha / size * sum of squares over ``size`` channels around)^beta (Krizhevsky et al. 2012)."""
    ctx.need(x.type.rank >= 3 and size > 0, f"of {x.type} with size {size}")
    channels = ctx.fixed(x, 1)
    positions = ctx.sizes_product(x.shape[2:])
    squares = ctx.reshape(ctx.add(ops.Square(), x), (x.shape[0], 1, channels, positions))
    low = (size - 1) // 2
    squares = ctx.add(ops.Pad(pads=((0, 0), (0, 0), (low, size - 1 - low), (0, 0))), squares)
    mean = ctx.add(ops.AvgPool2d(kernel=(size, 1), stride=(1, 1), padding=(0, 0)), squares)
    base = ctx.add(ops.Add(), ctx.mul(mean, alpha), ctx.scalar(bias, x.type.dtype))
    power = ctx.add(ops.Pow(), base, ctx.scalar(beta, x.type.dtype))
    return ctx.add(ops.Div(), x, ctx.reshape(power, x.shape))


@lowers("MeanVarianceNormalization")
def mean_variance_norm(ctx: Lowering, x: Value, *, axes: Sequence[int] = (0, 2, 3)) -> Result:
    """(x - mean) / (deviation + 1e-9)"""
    at = ctx.axes(axes, x.type.rank) or ()
    for axis in at:
        ctx.fixed(x, axis)
    mean = ctx.add(ops.Mean(axes=at, keepdim=True), x)
    var = ctx.add(ops.Mean(axes=at, keepdim=True), ctx.add(ops.SquaredDifference(), x, mean))
    deviation = ctx.add(ops.Add(), ctx.add(ops.Sqrt(), var), ctx.scalar(1e-9, x.type.dtype))
    return ctx.add(ops.Div(), ctx.add(ops.Sub(), x, mean), deviation)
