"""Activations."""

from __future__ import annotations

from math import prod

import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, channels_first
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import Value, ops

_PLAIN: dict[Op, ops.Op] = {
    Op.RELU: ops.Relu(),
    Op.RELU6: ops.Relu6(),
    Op.RELU_N1_TO_1: ops.Clamp(-1.0, 1.0),
    Op.RELU_0_TO_1: ops.Clamp(0.0, 1.0),
    Op.LOGISTIC: ops.Sigmoid(),
    Op.TANH: ops.Tanh(),
    Op.HARD_SWISH: ops.Hardswish(),
    Op.ELU: ops.Elu(),
}


@lowers(*_PLAIN)
def activation(ctx: Lowering, x: Held) -> Result:
    """Without attributes."""
    return Held(ctx.add(_PLAIN[ctx.operator.code], x.value), x.order)


@lowers(Op.LEAKY_RELU)
def leaky_relu(ctx: Lowering, x: Held, *, alpha: float = 0.0) -> Result:
    """x where x > 0, else alpha * x."""
    return Held(ctx.add(ops.LeakyRelu(float(alpha)), x.value), x.order)


@lowers(Op.GELU)
def gelu(ctx: Lowering, x: Held, *, approximate: bool = False) -> Result:
    """Exact or in its tanh form."""
    return Held(ctx.add(ops.Gelu("tanh" if approximate else "none"), x.value), x.order)


@lowers(Op.SOFTMAX)
def softmax(ctx: Lowering, x: Held, *, beta: float = 0.0) -> Result:
    """exp(beta * x) / sum exp(beta * x) along the last dimension."""
    value = x.value
    if beta != 1.0:
        value = ctx.add(ops.Mul(), value, ctx.scalar(float(beta), torch.float32))
    return Held(ctx.add(ops.Softmax(-1 if x.is_plain else x.order[-1]), value), x.order)


@lowers(Op.LOG_SOFTMAX)
def log_softmax(ctx: Lowering, x: Held) -> Result:
    """Along the last dimension."""
    return Held(ctx.add(ops.LogSoftmax(-1 if x.is_plain else x.order[-1]), x.value), x.order)


@lowers(Op.PRELU)
def prelu(ctx: Lowering, x: Held, alpha: Held) -> Result:
    """x where x > 0, else alpha * x; one slope per channel (or in all) is the graph's ``prelu``, any other is composed."""
    if ctx.is_known(alpha.value) and 1 < x.rank >= alpha.rank:
        for order in dict.fromkeys((x.order, channels_first(x.rank))):
            slopes = _per_channel(ctx, alpha, order)
            if slopes is not None:
                return Held(ctx.add(ops.Prelu(), ctx.arranged(x, order), ctx.parameter(slopes, "weight")), order)
    (value, slope), order = ctx.aligned(x, alpha)
    negative = ctx.add(ops.Neg(), ctx.add(ops.Relu(), ctx.add(ops.Neg(), value)))
    return Held(ctx.add(ops.Add(), ctx.add(ops.Relu(), value), ctx.add(ops.Mul(), negative, slope)), order)


def _per_channel(ctx: Lowering, alpha: Held, order: tuple[int, ...]) -> Value | None:
    """The slopes of a value in this order as a vector, None where they differ along another axis than its axis 1."""
    sizes = [1] * len(order)
    for axis, size in enumerate(alpha.shape, start=len(order) - alpha.rank):
        sizes[order[axis]] = int(size) if isinstance(size, int) else 0
    if any(size != 1 for axis, size in enumerate(sizes) if axis != 1):
        return None
    return ctx.reshape(ctx.plain(alpha), (prod(sizes),))
