"""Operators of one value."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.ir import ops
from edgekit.ir.integer.activation_range import require_equal
from edgekit.ir.integer.hard_swish import hard_swish
from edgekit.ir.integer.inverse_sqrt import inverse_sqrt
from edgekit.ir.integer.lookup import elu, exponential, gelu, logarithm, logistic, tanh
from edgekit.ir.integer.nodes.table import Call, integer
from edgekit.ir.integer.rectifiers import absolute, leaky_relu, prelu, rectify
from edgekit.ir.integer.sixteen_bit import logistic16, softmax16, tanh16
from edgekit.ir.integer.softmax import softmax
from edgekit.ir.quantized_data import quantize

#: Clamps that have an operator of their own, by their bounds.
_RECTIFIERS: dict[tuple[float | None, float | None], str] = {
    (0.0, None): "relu",
    (0.0, 6.0): "relu6",
    (-1.0, 1.0): "relu_n1_to_1",
}


@integer(ops.Relu)
def _relu(call: Call) -> torch.Tensor:
    return rectify(call.tensor(0), "relu", call.quant(0), call.output)


@integer(ops.Relu6)
def _relu6(call: Call) -> torch.Tensor:
    return rectify(call.tensor(0), "relu6", call.quant(0), call.output)


@integer(ops.Clamp)
def _clamp(call: Call) -> torch.Tensor:
    """An operator of the RELU family, or MAXIMUM and MINIMUM with the integers of the bounds."""
    bounds = (call.op.low, call.op.high)
    if bounds in _RECTIFIERS and not (call.output.dtype == "int16" and bounds == (-1.0, 1.0)):
        return rectify(call.tensor(0), _RECTIFIERS[call.op.low, call.op.high], call.quant(0), call.output)
    require_equal("clamp", call.quant(0), call.output)
    low, high = (None if b is None else int(quantize(torch.tensor(b), call.output)) for b in (call.op.low, call.op.high))
    return call.tensor(0).clamp(low, high)


@integer(ops.LeakyRelu)
def _leaky_relu(call: Call) -> torch.Tensor:
    return leaky_relu(call.tensor(0), call.op.slope, call.quant(0), call.output)


@integer(ops.Prelu)
def _prelu(call: Call) -> torch.Tensor:
    x, slope = call.tensor(0), call.tensor(1)
    if slope.numel() > 1:
        slope = slope.reshape(-1, *[1] * (x.dim() - 2))
    return prelu(x, slope, call.quant(0), call.quant(1), call.output)


@integer(ops.Hardswish)
def _hard_swish(call: Call) -> torch.Tensor:
    return hard_swish(call.tensor(0), call.quant(0), call.output)


@integer(ops.Sigmoid)
def _sigmoid(call: Call) -> torch.Tensor:
    kernel = logistic16 if call.output.dtype == "int16" else logistic
    return kernel(call.tensor(0), call.quant(0), call.output)


@integer(ops.Tanh)
def _tanh(call: Call) -> torch.Tensor:
    kernel = tanh16 if call.output.dtype == "int16" else tanh
    return kernel(call.tensor(0), call.quant(0), call.output)


@integer(ops.Elu)
def _elu(call: Call) -> torch.Tensor:
    if (call.op.alpha, call.op.scale, call.op.input_scale) != (1.0, 1.0, 1.0):
        raise Unsupported("TFLite's integer ELU has alpha 1, and no SELU or CELU", hint="leave the operator in float")
    return elu(call.tensor(0), call.quant(0), call.output)


@integer(ops.Gelu)
def _gelu(call: Call) -> torch.Tensor:
    return gelu(call.tensor(0), call.quant(0), call.output, approximate=call.op.approximate == "tanh")


@integer(ops.Exp)
def _exp(call: Call) -> torch.Tensor:
    return exponential(call.tensor(0), call.quant(0), call.output)


@integer(ops.Log)
def _log(call: Call) -> torch.Tensor:
    return logarithm(call.tensor(0), call.quant(0), call.output)


@integer(ops.Abs)
def _abs(call: Call) -> torch.Tensor:
    return absolute(call.tensor(0), call.quant(0), call.output)


@integer(ops.Rsqrt)
def _rsqrt(call: Call) -> torch.Tensor:
    return inverse_sqrt(call.tensor(0), call.quant(0), call.output)


@integer(ops.Softmax)
def _softmax(call: Call) -> torch.Tensor:
    kernel = softmax16 if call.output.dtype == "int16" else softmax
    return kernel(call.tensor(0), call.op.axis, call.quant(0), call.output)
