"""Activations that TFLite has no operator for."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.ir import Node, QuantParams, Value, ops
from edgekit.ir.ops import Op

#: The scale that LOGISTIC's kernels demand.
_SIGMOID = QuantParams("int8", (1.0 / 256.0,), (-128,))


@dataclass(frozen=True)
class LowerSilu(Lowering):
    """x * sigmoid(x)."""

    kind = ops.Silu

    def lower(self, build: Build, node: Node, op: ops.Silu) -> Value:
        """Two operators, in float or in integers."""
        x = node.input(0)
        return build(ops.Mul(), x, build(ops.Sigmoid(), x, quant=None if x.quant is None else _SIGMOID))


@dataclass(frozen=True)
class LowerHardsigmoid(Lowering):
    """relu6(x + 3) / 6."""

    kind = ops.Hardsigmoid

    def lower(self, build: Build, node: Node, op: ops.Hardsigmoid) -> Value:
        """An addition with a fused activation, and a product."""
        _float_only(node)
        return build(ops.Mul(), build(ops.Add(activation="relu6"), node.input(0), 3.0), 1.0 / 6.0)


@dataclass(frozen=True)
class LowerSoftplus(Lowering):
    """log(1 + exp(b x)) / b = relu(x) + log(1 + exp(-|b x|)) / b, which overflows nowhere.

    torch switches to x itself where b x > threshold. The form here tends to x by itself: at the default threshold of 20
    it differs from x by exp(-20), less than half a unit in the last place of x. A lower threshold is written out.
    """

    kind = ops.Softplus

    def lower(self, build: Build, node: Node, op: ops.Softplus) -> Value:
        """The stable form."""
        _float_only(node)
        x = node.input(0)
        y = softplus(build, x, op.beta)
        if op.threshold >= 17.0:
            return y
        return build(ops.Where(), build(ops.Greater(), x, op.threshold / op.beta), x, y)


def softplus(build: Build, x: Value, beta: float = 1.0) -> Value:
    """relu(x) + log(1 + exp(-|beta x|)) / beta."""
    scaled = x if beta == 1.0 else build(ops.Mul(), x, beta)
    tail = build(ops.Log(), build(ops.Add(), build(ops.Exp(), build(ops.Neg(), build(ops.Abs(), scaled))), 1.0))
    tail = tail if beta == 1.0 else build(ops.Mul(), tail, 1.0 / beta)
    return build(ops.Add(), build(ops.Relu(), x), tail)


@dataclass(frozen=True)
class LowerMish(Lowering):
    """x * tanh(softplus(x))."""

    kind = ops.Mish

    def lower(self, build: Build, node: Node, op: ops.Mish) -> Value:
        """By its definition."""
        _float_only(node)
        x = node.input(0)
        return build(ops.Mul(), x, build(ops.Tanh(), softplus(build, x)))


@dataclass(frozen=True)
class LowerSoftsign(Lowering):
    """x / (1 + |x|)."""

    kind = ops.Softsign

    def lower(self, build: Build, node: Node, op: ops.Softsign) -> Value:
        """By its definition."""
        _float_only(node)
        x = node.input(0)
        return build(ops.Div(), x, build(ops.Add(), build(ops.Abs(), x), 1.0))


@dataclass(frozen=True)
class LowerElu(Lowering):
    """scale * (relu(x) + alpha * (exp(min(x, 0) * input_scale) - 1)), by TFLite's ELU of alpha 1."""

    kind = ops.Elu

    def lower(self, build: Build, node: Node, op: ops.Elu) -> Value:
        """Left alone where the kernel's alpha fits."""
        if op.alpha == op.scale == op.input_scale == 1.0:
            raise Skip("TFLite's ELU")
        _float_only(node)
        x = node.input(0)
        below = build(ops.Minimum(), x, 0.0)
        if op.input_scale != 1.0:
            below = build(ops.Mul(), below, op.input_scale)
        low = build(ops.Mul(), build(ops.Elu(), below), op.alpha * op.scale)
        high = build(ops.Relu(), x)
        if op.scale != 1.0:
            high = build(ops.Mul(), high, op.scale)
        return build(ops.Add(), high, low)


@dataclass(frozen=True)
class LowerShrink(Lowering):
    """x where it is far enough from zero."""

    kind = (ops.Hardshrink, ops.Softshrink, ops.Threshold)

    def lower(self, build: Build, node: Node, op: ops.Hardshrink | ops.Softshrink | ops.Threshold) -> Value:
        """By comparison and selection, or by two rectifiers."""
        _float_only(node)
        x = node.input(0)
        if isinstance(op, ops.Softshrink):
            above = build(ops.Sub(activation="relu"), x, op.bound)
            below = build(ops.Sub(activation="relu"), build(ops.Neg(), x), op.bound)
            return build(ops.Sub(), above, below)
        if isinstance(op, ops.Hardshrink):
            return build(ops.Where(), build(ops.Greater(), build(ops.Abs(), x), op.bound), x, 0.0)
        return build(ops.Where(), build(ops.Greater(), x, op.threshold), x, op.value)


@dataclass(frozen=True)
class LowerErf(Lowering):
    """The error function by Abramowitz & Stegun 7.1.26: absolute error below 1.5e-7.

    erf(x) = sign(x) * (1 - t (a1 + t (a2 + t (a3 + t (a4 + t a5)))) exp(-x^2)),  t = 1 / (1 + p |x|)
    """

    kind = ops.Erf

    def lower(self, build: Build, node: Node, op: Op) -> Value:
        """Horner's scheme."""
        _float_only(node)
        x = node.input(0)
        size = build(ops.Abs(), x)
        t = build(ops.Div(), build.number(1.0), build(ops.Add(), build(ops.Mul(), size, 0.3275911), 1.0))
        total = build(ops.Mul(), t, 1.061405429)
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            total = build(ops.Mul(), build(ops.Add(), total, coefficient), t)
        tail = build(ops.Mul(), total, build(ops.Exp(), build(ops.Neg(), build(ops.Square(), x))))
        return build(ops.Mul(), build(ops.Sign(), x), build(ops.Sub(), build.number(1.0), tail))


def _float_only(node: Node) -> None:
    """An integer form would need scales for the values in between, which calibration has not seen.

    Raises:
        Skip: the node is quantised.
    """
    if node.output.quant is not None:
        raise Skip("no integer form")
