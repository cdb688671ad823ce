"""Activations. Those that ONNX has in torch's form are one operator; the others are composed."""

from __future__ import annotations

import math

from edgekit.errors import Unsupported
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.fused import activate, clamp
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node

#: log(1 + e^-t) is below the last bit of t in float32 from here on, so softplus needs no case of its own for large inputs.
_SOFTPLUS_IS_LINEAR = 15.0


@emits(ops.Relu, ops.Relu6)
def relu(to: Emission, node: Node, op: ops.Relu | ops.Relu6) -> Tensor:
    """Relu or Clip; nothing where a quantised output saturates at the same bounds."""
    return activate(to, to.read(node.input(0)), op.name, node.output)


@emits(ops.Clamp)
def clamp_(to: Emission, node: Node, op: ops.Clamp) -> Tensor:
    """Clip. Bounds of integers must be integers, because Clip's bounds have the type of its input."""
    dtype = node.input(0).type.dtype
    if not dtype.is_floating_point and any(bound is not None and bound != int(bound) for bound in (op.low, op.high)):
        raise Unsupported(
            f"integers are clamped to {op.low} ... {op.high}, which are no integers",
            hint="clamp to whole numbers, or cast to float",
        )
    return clamp(to, to.read(node.input(0)), op.low, op.high, dtype=dtype)


@emits(ops.LeakyRelu)
def leaky_relu(to: Emission, node: Node, op: ops.LeakyRelu) -> Tensor:
    """LeakyRelu."""
    return to.add("LeakyRelu", to.read(node.input(0)), alpha=float(op.slope))


@emits(ops.Prelu)
def prelu(to: Emission, node: Node, op: ops.Prelu) -> Tensor:
    """PRelu; one slope per channel is shaped (C, 1, ...) so that it broadcasts along axis 1."""
    x, slope = node.input(0), node.input(1)
    if slope.type.numel() == 1 or x.type.rank < 2:
        return to.add("PRelu", to.read(x), to.read(slope))
    return to.add("PRelu", to.read(x), to.reshaped(slope, (slope.tensor_shape[0], *[1] * (x.type.rank - 2))))


@emits(ops.Elu)
def elu(to: Emission, node: Node, op: ops.Elu) -> Tensor:
    """Elu or Selu; with another scale inside the exponential, relu(x) + alpha * (exp(s * min(x, 0)) - 1)."""
    x, dtype = to.read(node.input(0)), node.input(0).type.dtype
    if op.input_scale == 1.0:
        if op.scale == 1.0:
            return to.add("Elu", x, alpha=float(op.alpha))
        return to.add("Selu", x, alpha=float(op.alpha), gamma=float(op.scale))
    negative = to.add("Mul", to.add("Min", x, to.scalar(0.0, dtype)), to.scalar(op.input_scale, dtype))
    result = to.add("Add", to.add("Relu", x), to.add("Elu", negative, alpha=float(op.alpha)))
    return result if op.scale == 1.0 else to.add("Mul", result, to.scalar(op.scale, dtype))


@emits(ops.Gelu)
def gelu(to: Emission, node: Node, op: ops.Gelu) -> Tensor:
    """Gelu from opset 20 on. Below, its formula in the form that ONNX Runtime recognises and computes as one operator."""
    x = to.read(node.input(0))
    if to.opset >= 20:
        return to.add("Gelu", x, approximate=op.approximate)
    if op.approximate == "tanh":
        cubed = to.add("Mul", to.add("Pow", x, to.scalar(3.0)), to.scalar(0.044715))
        inner = to.add("Tanh", to.add("Mul", to.add("Add", x, cubed), to.scalar(math.sqrt(2 / math.pi))))
    else:
        inner = to.add("Erf", to.add("Div", x, to.scalar(math.sqrt(2))))
    doubled = to.add("Mul", x, to.add("Add", inner, to.scalar(1.0)))
    return to.add("Mul", doubled, to.scalar(0.5))


@emits(ops.Silu)
def silu(to: Emission, node: Node, op: ops.Silu) -> Tensor:
    """x * Sigmoid(x)"""
    x = to.read(node.input(0))
    return to.add("Mul", x, to.add("Sigmoid", x))


@emits(ops.Mish)
def mish(to: Emission, node: Node, op: ops.Mish) -> Tensor:
    """x * Tanh(Softplus(x)): the operator Mish has no kernel in ONNX Runtime, which would write it out in the same way."""
    x = to.read(node.input(0))
    return to.add("Mul", x, to.add("Tanh", to.add("Softplus", x)))


@emits(ops.Hardswish)
def hardswish(to: Emission, node: Node, op: ops.Hardswish) -> Tensor:
    """HardSwish."""
    return to.add("HardSwish", to.read(node.input(0)))


@emits(ops.Hardsigmoid)
def hardsigmoid(to: Emission, node: Node, op: ops.Hardsigmoid) -> Tensor:
    """HardSigmoid with torch's slope; ONNX's default is another."""
    return to.add("HardSigmoid", to.read(node.input(0)), alpha=1 / 6, beta=0.5)


@emits(ops.Sigmoid, ops.Tanh, ops.Softsign)
def same_name(to: Emission, node: Node, op: ops.Op) -> Tensor:
    """Sigmoid, Tanh, Softsign."""
    return to.add(type(op).__name__, to.read(node.input(0)))


@emits(ops.Softplus)
def softplus(to: Emission, node: Node, op: ops.Softplus) -> Tensor:
    """Softplus(beta * x) / beta, and x itself above a threshold that is low enough to matter."""
    x = to.read(node.input(0))
    scaled = x if op.beta == 1.0 else to.add("Mul", x, to.scalar(op.beta))
    result = to.add("Softplus", scaled)
    if op.beta != 1.0:
        result = to.add("Div", result, to.scalar(op.beta))
    if op.threshold >= _SOFTPLUS_IS_LINEAR:
        return result
    return to.add("Where", to.add("Greater", scaled, to.scalar(op.threshold)), x, result)


@emits(ops.Hardshrink)
def hardshrink(to: Emission, node: Node, op: ops.Hardshrink) -> Tensor:
    """Shrink without bias."""
    return to.add("Shrink", to.read(node.input(0)), lambd=float(op.bound), bias=0.0)


@emits(ops.Softshrink)
def softshrink(to: Emission, node: Node, op: ops.Softshrink) -> Tensor:
    """Shrink, which moves what is left towards 0 by its bias."""
    return to.add("Shrink", to.read(node.input(0)), lambd=float(op.bound), bias=float(op.bound))


@emits(ops.Threshold)
def threshold(to: Emission, node: Node, op: ops.Threshold) -> Tensor:
    """Where(x > threshold, x, value)"""
    x, dtype = to.read(node.input(0)), node.input(0).type.dtype
    above = to.add("Greater", x, to.scalar(op.threshold, dtype))
    return to.add("Where", above, x, to.scalar(op.value, dtype))


@emits(ops.Softmax, ops.LogSoftmax)
def softmax(to: Emission, node: Node, op: ops.Softmax | ops.LogSoftmax) -> Tensor:
    """Softmax, LogSoftmax."""
    return to.add(type(op).__name__, to.read(node.input(0)), axis=op.axis)


@emits(ops.Dropout)
def dropout(to: Emission, node: Node, op: ops.Dropout) -> Tensor:
    """Nothing: dropout acts in training."""
    return to.read(node.input(0))
