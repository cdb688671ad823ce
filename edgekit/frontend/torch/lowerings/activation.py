"""Activations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op

aten = torch.ops.aten


def _plain(overload: torch._ops.OpOverload, op: Op) -> Callable[..., Result]:
    """A lowering of a one-argument op to one op without attributes."""

    @lowers(overload)
    def lower(ctx: Lowering, self: Value) -> Result:
        return ctx.add(op, self)

    return lower


relu = _plain(aten.relu.default, ops.Relu())
relu6 = _plain(aten.relu6.default, ops.Relu6())
silu = _plain(aten.silu.default, ops.Silu())
mish = _plain(aten.mish.default, ops.Mish())
hardswish = _plain(aten.hardswish.default, ops.Hardswish())
hardsigmoid = _plain(aten.hardsigmoid.default, ops.Hardsigmoid())
sigmoid = _plain(aten.sigmoid.default, ops.Sigmoid())
tanh = _plain(aten.tanh.default, ops.Tanh())


@lowers(aten.hardtanh.default)
def hardtanh(ctx: Lowering, self: Value, min_val: float = -1, max_val: float = 1) -> Result:
    """nn.ReLU6 is a hardtanh from 0 to 6."""
    if (min_val, max_val) == (0, 6):
        return ctx.add(ops.Relu6(), self)
    return ctx.add(ops.Clamp(low=float(min_val), high=float(max_val)), self)


@lowers(aten.leaky_relu.default)
def leaky_relu(ctx: Lowering, self: Value, negative_slope: float = 0.01) -> Result:
    """x where x > 0, else a share of it."""
    return ctx.add(ops.LeakyRelu(slope=float(negative_slope)), self)


@lowers(aten.rrelu.default)
def rrelu(
    ctx: Lowering,
    self: Value,
    lower: float = 0.125,
    upper: float = 0.3333333333333333,
    training: bool = False,
    generator: None = None,
) -> Result:
    """In inference the slope is the middle of its range."""
    ctx.need(not training, "draws random slopes", "call model.eval() before torch.export.export")
    return ctx.add(ops.LeakyRelu(slope=(lower + upper) / 2), self)


@lowers(aten.prelu.default)
def prelu(ctx: Lowering, self: Value, weight: Value) -> Result:
    """A slope per channel, or one."""
    return ctx.add(ops.Prelu(), self, weight)


@lowers(aten.elu.default)
def elu(ctx: Lowering, self: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Result:
    """ELU with all its factors."""
    return ctx.add(ops.Elu(alpha=float(alpha), scale=float(scale), input_scale=float(input_scale)), self)


@lowers(aten.selu.default)
def selu(ctx: Lowering, self: Value) -> Result:
    """The constants are ATen's (Klambauer et al. 2017, arXiv:1706.02515)."""
    return ctx.add(ops.Elu(alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946), self)


@lowers(aten.celu.default)
def celu(ctx: Lowering, self: Value, alpha: float = 1.0) -> Result:
    """alpha * (exp(x / alpha) - 1) below zero (Barron 2017, arXiv:1704.07483)."""
    return ctx.add(ops.Elu(alpha=float(alpha), input_scale=1.0 / alpha), self)


@lowers(aten.gelu.default)
def gelu(ctx: Lowering, self: Value, *, approximate: str = "none") -> Result:
    """Exact, or the tanh form."""
    return ctx.add(ops.Gelu(approximate=approximate), self)


@lowers(aten.softplus.default)
def softplus(ctx: Lowering, self: Value, beta: float = 1, threshold: float = 20) -> Result:
    """A smooth relu."""
    return ctx.add(ops.Softplus(beta=float(beta), threshold=float(threshold)), self)


@lowers(aten.log_sigmoid.default)
def log_sigmoid(ctx: Lowering, self: Value) -> Result:
    """log(sigmoid(x)) = -softplus(-x)."""
    return ctx.add(ops.Neg(), ctx.add(ops.Softplus(), ctx.add(ops.Neg(), self)))


@lowers(aten.hardshrink.default)
def hardshrink(ctx: Lowering, self: Value, lambd: float = 0.5) -> Result:
    """Small values become zero."""
    return ctx.add(ops.Hardshrink(bound=float(lambd)), self)


@lowers(aten.softshrink.default)
def softshrink(ctx: Lowering, self: Value, lambd: float = 0.5) -> Result:
    """Values move towards zero and stop there."""
    return ctx.add(ops.Softshrink(bound=float(lambd)), self)


@lowers(aten.threshold.default)
def threshold(ctx: Lowering, self: Value, threshold: float, value: float) -> Result:
    """x where x > threshold, else value."""
    return ctx.add(ops.Threshold(threshold=float(threshold), value=float(value)), self)


@lowers(aten.glu.default)
def glu(ctx: Lowering, self: Value, dim: int = -1) -> Result:
    """The first half times the sigmoid of the second (Dauphin et al. 2016, arXiv:1612.08083)."""
    axis = axis_of(dim, self.type.rank)
    half = self.tensor_shape[axis] // 2
    node = ctx.add_node(ops.Split(axis=axis, sizes=(half, half)), self)
    return ctx.add(ops.Mul(), node.outputs[0], ctx.add(ops.Sigmoid(), node.outputs[1]))


@lowers(aten.softmax.int, aten._softmax.default)
def softmax(ctx: Lowering, self: Value, dim: int, dtype: torch.dtype | bool | None = None) -> Result:
    """``_softmax`` has ``half_to_float`` in place of the element type."""
    _need_fixed_axis(ctx, self, dim)
    share = ctx.add(ops.Softmax(axis=dim), ctx.cast(self, ctx.result.dtype))
    module = ctx.module
    if (
        isinstance(module, nn.MultiheadAttention) and module.dropout
    ):  # the trace of an inference has no dropout of attention weights
        return ctx.add(ops.Dropout(p=float(module.dropout)), share)
    return share


@lowers(aten.log_softmax.int, aten._log_softmax.default)
def log_softmax(ctx: Lowering, self: Value, dim: int, dtype: torch.dtype | bool | None = None) -> Result:
    """``_log_softmax`` has ``half_to_float`` in place of the element type."""
    _need_fixed_axis(ctx, self, dim)
    return ctx.add(ops.LogSoftmax(axis=dim), ctx.cast(self, ctx.result.dtype))


def _need_fixed_axis(ctx: Lowering, x: Value, dim: int) -> None:
    fixed = not x.type.rank or isinstance(x.shape[dim], int)
    ctx.need(fixed, "normalises over the batch", "say which axis is the batch: batch_axes={name: axis}")


@lowers(aten.dropout.default)
def dropout(ctx: Lowering, input: Value, p: float, train: bool) -> Result:
    """Kept where it acts in training."""
    return _dropout(ctx, input, p, train, channelwise=False)


@lowers(aten.feature_dropout.default)
def feature_dropout(ctx: Lowering, input: Value, p: float, train: bool) -> Result:
    """Whole channels are dropped."""
    return _dropout(ctx, input, p, train, channelwise=True)


@lowers(aten.alpha_dropout.default, aten.feature_alpha_dropout.default)
def alpha_dropout(ctx: Lowering, input: Value, p: float, train: bool) -> Result:
    """The graph has no such op: only its inference, which does nothing, is kept."""
    ctx.need(not train, "draws random numbers", "call model.eval() before torch.export.export")
    if p > 0 and ctx.training_argument("train", _by_default(ctx)):
        ctx.note("alpha dropout acts only in training and is not in the graph")
    return input


def _dropout(ctx: Lowering, input: Value, p: float, train: bool, *, channelwise: bool) -> Value:
    ctx.need(
        not train or p == 0.0,
        "drops at random in inference as well",
        "pass training=self.training to F.dropout; a .pt2 must be exported after model.eval()",
    )
    p = ctx.training_argument("p", p)
    if p == 0.0 or not ctx.training_argument("train", _by_default(ctx)):
        return input
    return ctx.add(ops.Dropout(p=float(p), channelwise=channelwise), input)


def _by_default(ctx: Lowering) -> bool:
    """Whether a dropout acts in training where nothing else is known: the layers do, and what comes from a file is taken to."""
    return ctx.is_layer(_DropoutNd) or not ctx.building.modules
