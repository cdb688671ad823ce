"""Reductions over axes."""

from __future__ import annotations

import torch

from edgekit.ir import ops
from edgekit.ir.integer.nodes.table import Call, integer
from edgekit.ir.integer.reduction import mean, reduce_extremum, total


@integer(ops.Mean)
def _mean(call: Call) -> torch.Tensor:
    return mean(call.tensor(0), call.op.axes, call.quant(0), call.output, keepdim=call.op.keepdim)


@integer(ops.Sum)
def _sum(call: Call) -> torch.Tensor:
    return total(call.tensor(0), call.op.axes, call.quant(0), call.output, keepdim=call.op.keepdim)


@integer(ops.Amax, ops.Amin)
def _extremum(call: Call) -> torch.Tensor:
    largest = isinstance(call.op, ops.Amax)
    x, op = call.tensor(0), call.op
    return reduce_extremum(x, op.axes, call.quant(0), call.output, largest=largest, keepdim=op.keepdim)


@integer(ops.Argmax)
def _argmax(call: Call) -> torch.Tensor:
    """Of the integers: their order is that of the real numbers. The result is an index, without quant."""
    return call.op.run(call.tensor(0))  # type: ignore[no-any-return]
