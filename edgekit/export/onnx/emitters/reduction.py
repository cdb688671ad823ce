"""Reductions over axes."""

from __future__ import annotations

import torch

from edgekit.export.onnx.dims import reshape
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node
from edgekit.ir.types import dtype_of

_OPERATORS: dict[type[ops.Op], str] = {ops.Sum: "ReduceSum", ops.Amax: "ReduceMax", ops.Amin: "ReduceMin"}


@emits(ops.Mean)
def mean(to: Emission, node: Node, op: ops.Mean) -> Tensor:
    """GlobalAveragePool over all spatial axes, which runtimes have on integers too; ReduceMean over others."""
    x, output = node.input(0), node.output
    if x.type.rank < 3 or op.axes != tuple(range(2, x.type.rank)):
        return to.add("ReduceMean", to.read(x), to.ints(op.axes), keepdims=int(op.keepdim))
    result = to.add("GlobalAveragePool", to.read(x))
    if op.keepdim:
        return result
    if output.quant is not None:
        result = to.rounded(result, output.quant, output.name)
    return reshape(to, result, (*x.shape[:2], *[1] * (x.type.rank - 2)), output.shape)


@emits(ops.Sum, ops.Amax, ops.Amin)
def reduce(to: Emission, node: Node, op: ops.Sum | ops.Amax | ops.Amin) -> Tensor:
    """ReduceSum, ReduceMax, ReduceMin; sums of integers are int64, as in torch."""
    x = to.read(node.input(0), node.output.type.dtype)
    return to.add(_OPERATORS[type(op)], x, to.ints(op.axes), keepdims=int(op.keepdim))


@emits(ops.Argmax)
def argmax(to: Emission, node: Node, op: ops.Argmax) -> Tensor:
    """ArgMax, the first of several. ONNX Runtime has it for floats, int32 and the 8-bit types."""
    x = node.input(0)
    dtype = {torch.int64: torch.float64, torch.int16: torch.int32, torch.bool: torch.uint8}.get(x.type.dtype, x.type.dtype)
    index = to.add("ArgMax", to.read(x, dtype), axis=op.axis, keepdims=int(op.keepdim), select_last_index=0)
    return index if op.dtype == "int64" else to.cast(index, dtype_of(op.dtype))


@emits(ops.Cumsum)
def cumsum(to: Emission, node: Node, op: ops.Cumsum) -> Tensor:
    """CumSum; sums of integers are int64, as in torch."""
    return to.add("CumSum", to.read(node.input(0), node.output.type.dtype), to.scalar(op.axis, torch.int64))
