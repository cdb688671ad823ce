"""Arithmetic on two values, and the border between integers and floats."""

from __future__ import annotations

import torch

from edgekit.ir import ops
from edgekit.ir.integer.activation_range import activation_range
from edgekit.ir.integer.arithmetic import add, extremum, multiply, squared_difference, subtract
from edgekit.ir.integer.nodes.table import Call, integer
from edgekit.ir.integer.requantization import dequantize, quantize_op, requantize
from edgekit.ir.quant import QuantParams


@integer(ops.Add)
def _add(call: Call) -> torch.Tensor:
    return add(*_operands(call), activation=call.op.activation)


@integer(ops.Sub)
def _subtract(call: Call) -> torch.Tensor:
    return subtract(*_operands(call), activation=call.op.activation)


@integer(ops.Mul)
def _multiply(call: Call) -> torch.Tensor:
    return multiply(*_operands(call), activation=call.op.activation)


@integer(ops.SquaredDifference)
def _squared_difference(call: Call) -> torch.Tensor:
    return _clamped(call, squared_difference(*_operands(call)))


@integer(ops.Maximum, ops.Minimum)
def _extremum(call: Call) -> torch.Tensor:
    return _clamped(call, extremum(*_operands(call), largest=isinstance(call.op, ops.Maximum)))


def _operands(call: Call) -> tuple[torch.Tensor, torch.Tensor, QuantParams, QuantParams, QuantParams]:
    return call.tensor(0), call.tensor(1), call.quant(0), call.quant(1), call.output


def _clamped(call: Call, y: torch.Tensor) -> torch.Tensor:
    """A fused activation of an operator that fuses none: a rectifier with equal scales follows, which is a clamp."""
    return y.clamp(*activation_range(call.op.activation, call.output))


@integer(ops.Identity)
def _border(call: Call) -> torch.Tensor:
    x, before, after = call.tensor(0), call.quants[0], call.outputs[0]
    if before is None:
        return x if after is None else quantize_op(x, after)
    return dequantize(x, before) if after is None else requantize(x, before, after)
