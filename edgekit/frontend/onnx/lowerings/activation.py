"""Activations."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op


def _plain(operator: str, op: Op) -> Callable[..., Result]:
    """A lowering of an operator without attributes to one op."""

    @lowers(operator)
    def lower(ctx: Lowering, x: Value) -> Result:
        return ctx.add(op, x)

    return lower


relu = _plain("Relu", ops.Relu())
sigmoid = _plain("Sigmoid", ops.Sigmoid())
tanh = _plain("Tanh", ops.Tanh())
softsign = _plain("Softsign", ops.Softsign())
softplus = _plain("Softplus", ops.Softplus())
mish = _plain("Mish", ops.Mish())
hardswish = _plain("HardSwish", ops.Hardswish())


@lowers("LeakyRelu")
def leaky_relu(ctx: Lowering, x: Value, *, alpha: float = 0.01) -> Result:
    """x where x >= 0, else alpha * x."""
    return ctx.add(ops.LeakyRelu(slope=alpha), x)


@lowers("PRelu")
def prelu(ctx: Lowering, x: Value, slope: Value) -> Result:
    """A slope per channel or one in all is the graph's op; others are two branches."""
    rank, sizes = x.type.rank, slope.shape
    if slope.type.numel() == 1:
        return ctx.add(ops.Prelu(), x, ctx.reshape(slope, (1,)))
    lined_up = (*(1,) * (rank - len(sizes)), *sizes)
    if rank >= 2 and all(size == 1 for axis, size in enumerate(lined_up) if axis != 1) and lined_up[1] == x.shape[1]:
        return ctx.add(ops.Prelu(), x, ctx.reshape(slope, (lined_up[1],)))
    zero = ctx.scalar(0, x.type.dtype)
    below = ctx.add(ops.Mul(), ctx.add(ops.Minimum(), x, zero), slope)
    return ctx.add(ops.Add(), ctx.add(ops.Maximum(), x, zero), below)


@lowers("Elu")
def elu(ctx: Lowering, x: Value, *, alpha: float = 1.0) -> Result:
    """alpha * (exp(x) - 1) below zero."""
    return ctx.add(ops.Elu(alpha=alpha), x)


@lowers("Selu")
def selu(
    ctx: Lowering, x: Value, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Result:
    """gamma times an ELU."""
    return ctx.add(ops.Elu(alpha=alpha, scale=gamma), x)


@lowers("Celu")
def celu(ctx: Lowering, x: Value, *, alpha: float = 1.0) -> Result:
    """alpha * (exp(x / alpha) - 1) below zero."""
    return ctx.add(ops.Elu(alpha=alpha, input_scale=1.0 / alpha), x)


@lowers("ThresholdedRelu")
def thresholded_relu(ctx: Lowering, x: Value, *, alpha: float = 1.0) -> Result:
    """x above alpha, else zero."""
    return ctx.add(ops.Threshold(threshold=alpha, value=0.0), x)


@lowers("HardSigmoid")
def hard_sigmoid(ctx: Lowering, x: Value, *, alpha: float = 0.2, beta: float = 0.5) -> Result:
    """max(0, min(1, alpha * x + beta)); torch's own has the slope 1/6."""
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return ctx.add(ops.Hardsigmoid(), x)
    line = ctx.add(ops.Add(), ctx.mul(x, alpha), ctx.scalar(beta, x.type.dtype))
    return ctx.add(ops.Clamp(low=0.0, high=1.0), line)


@lowers("Gelu")
def gelu(ctx: Lowering, x: Value, *, approximate: str = "none") -> Result:
    """Exact, or the tanh form."""
    ctx.need(approximate in ("none", "tanh"), f"has the approximation '{approximate}'")
    return ctx.add(ops.Gelu(approximate=approximate), x)


@lowers("Swish")
def swish(ctx: Lowering, x: Value, *, alpha: float = 1.0) -> Result:
    """x * sigmoid(alpha * x)"""
    return ctx.add(ops.Silu(), x) if alpha == 1 else ctx.add(ops.Mul(), x, ctx.add(ops.Sigmoid(), ctx.mul(x, alpha)))


@lowers("Shrink")
def shrink(ctx: Lowering, x: Value, *, bias: float = 0.0, lambd: float = 0.5) -> Result:
    """x + bias below -lambd, x - bias above lambd, else 0."""
    ctx.need(x.type.is_float, "of integers", "cast to float32 first")
    if bias == 0:
        return ctx.add(ops.Hardshrink(bound=lambd), x)
    if bias == lambd:
        return ctx.add(ops.Softshrink(bound=lambd), x)
    kept = ctx.add(ops.Hardshrink(bound=lambd), x)
    return ctx.add(ops.Sub(), kept, ctx.mul(ctx.add(ops.Sign(), kept), bias))


@lowers("Clip")
def clip(ctx: Lowering, x: Value, min: Value | float | None = None, max: Value | float | None = None) -> Result:
    """Bounds that are computed become a minimum and a maximum."""
    bounds = [bound for bound in (min, max) if isinstance(bound, Value)]
    if all(bound.is_constant for bound in bounds):
        low, high = ctx.number(min, "lower bound"), ctx.number(max, "upper bound")
        if low is not None and high is not None and low > high:  # torch's clamp gives the upper bound as well
            low = high
        if (low, high) == (None, None):
            return x
        if x.type.is_float and low == 0 and high in (None, 6):
            return ctx.add(ops.Relu() if high is None else ops.Relu6(), x)
        if x.type.is_float:
            return ctx.add(ops.Clamp(low=low, high=high), x)
    y = x if min is None else ctx.add(ops.Maximum(), x, ctx.operand(min, x.type.dtype))
    return y if max is None else ctx.add(ops.Minimum(), y, ctx.operand(max, x.type.dtype))


@lowers("Softmax")
def softmax(ctx: Lowering, x: Value, *, axis: int | None = None) -> Result:
    """Along one axis from opset 13 on; before, over all dimensions from the axis on."""
    return _softmax(ctx, x, ops.Softmax, axis)


@lowers("LogSoftmax")
def log_softmax(ctx: Lowering, x: Value, *, axis: int | None = None) -> Result:
    """Like Softmax."""
    return _softmax(ctx, x, ops.LogSoftmax, axis)


def _softmax(ctx: Lowering, x: Value, op: type[ops.Softmax] | type[ops.LogSoftmax], axis: int | None) -> Value:
    rank = x.type.rank
    if ctx.opset >= 13:
        at = ctx.axis(-1 if axis is None else axis, rank)
        ctx.fixed(x, at)
        return ctx.add(op(axis=at - rank if at == rank - 1 else at), x)
    at = ctx.axis(1 if axis is None else axis, rank)
    for each in range(at, rank):
        ctx.fixed(x, each)
    if all(x.shape[each] == 1 for each in range(at, rank - 1)):
        return ctx.add(op(axis=-1), x)
    if all(x.shape[each] == 1 for each in range(at + 1, rank)):
        return ctx.add(op(axis=at), x)
    flat = ctx.reshape(x, (*x.shape[:at], ctx.sizes_product(x.shape[at:])))
    return ctx.reshape(ctx.add(op(axis=-1), flat), x.shape)


@lowers("Hardmax")
def hardmax(ctx: Lowering, x: Value, *, axis: int | None = None) -> Result:
    """1 at the first largest element along the axis, else 0; before opset 13, over all dimensions from the axis on."""
    rank = x.type.rank
    at = ctx.axis((-1 if ctx.opset >= 13 else 1) if axis is None else axis, rank)
    if ctx.opset < 13 and at < rank - 1:
        flat = ctx.reshape(x, (*x.shape[:at], ctx.sizes_product(x.shape[at:])))
        return ctx.reshape(one_of(ctx, flat, at), x.shape)
    return one_of(ctx, x, at)


def one_of(ctx: Lowering, x: Value, axis: int) -> Value:
    """1 where the first largest element along an axis is."""
    size = ctx.fixed(x, axis)
    ctx.claim(8 * size)
    where = ctx.add(ops.Argmax(axis=axis, keepdim=True), x)
    count = ctx.constant(torch.arange(size), "positions")
    positions = ctx.reshape(count, tuple(size if each == axis else 1 for each in range(x.type.rank)))
    return ctx.cast(ctx.add(ops.Equal(), positions, where), x.type.dtype)


@lowers("Dropout")
def dropout(
    ctx: Lowering,
    data: Value,
    ratio: Value | float = 0.5,
    training_mode: Value | None = None,
    *,
    seed: int = 0,
) -> Result:
    """Nothing in inference; the graph keeps it for training. Its mask is all true."""
    share = ctx.number(ratio, "ratio")
    share = 0.5 if share is None else share
    training = False if training_mode is None else bool(ctx.known(training_mode, "mode").reshape(-1)[:1].any())
    ctx.need(not training or share == 0, "drops at random in inference as well", "export the model in evaluation mode")
    result = data if not 0 < share < 1 or data.is_constant else ctx.add(ops.Dropout(p=share), data)
    if not ctx.reads(1):
        return result, None
    return result, ctx.filled(data.shape, True, torch.bool)
