"""Matrix products."""

from __future__ import annotations

from edgekit.export.onnx.dims import reshape
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.fused import activate
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node
from edgekit.ir.quant import QuantParams
from edgekit.ir.types import Dim


@emits(ops.Linear)
def linear(to: Emission, node: Node, op: ops.Linear) -> Tensor:
    """Gemm for a matrix, MatMul and Add for other ranks; integers go through Gemm, the only form that takes an int32 bias."""
    x, output = node.input(0), node.output
    if x.type.rank == 2:
        return activate(to, _gemm(to, node, to.read(x)), op.activation, output)
    if x.quant is not None and output.quant is not None:
        return _on_integers(to, node, op, x.quant, output.quant)
    result = to.add("MatMul", to.read(x), to.transposed(node.input(1), (1, 0)))
    if (bias := node.optional(2)) is not None:
        result = to.add("Add", result, to.read(bias))
    return activate(to, result, op.activation, output)


def _gemm(to: Emission, node: Node, x: Tensor) -> Tensor:
    """x (M, I) times the weight (O, I) as it stands in the source's state."""
    bias = node.optional(2)
    return to.add("Gemm", x, to.read(node.input(1)), None if bias is None else to.read(bias), transB=1)


def _on_integers(to: Emission, node: Node, op: ops.Linear, quant: QuantParams, result_quant: QuantParams) -> Tensor:
    """Flattened to a matrix, multiplied, and brought back to shape, each step between integers."""
    x, output = node.input(0), node.output
    rows = _rows(output.shape)
    flat = to.rounded(reshape(to, to.read(x), x.shape, (rows, x.tensor_shape[-1])), quant, x.name)
    result = activate(to, _gemm(to, node, flat), op.activation, output)
    return reshape(to, to.rounded(result, result_quant, output.name), (rows, output.shape[-1]), output.shape)


def _rows(shape: tuple[Dim, ...]) -> Dim:
    """Product of all dimensions but the last."""
    rows: Dim = 1
    for dim in shape[:-1]:
        if isinstance(dim, int):
            rows = rows * dim if isinstance(rows, int) else type(rows)(rows.multiple * dim)
        else:
            rows = type(dim)(dim.multiple * (rows if isinstance(rows, int) else rows.multiple))
    return rows


@emits(ops.Matmul)
def matmul(to: Emission, node: Node, op: ops.Matmul) -> Tensor:
    """MatMul broadcasts as torch does; a transposed right side that is constant is stored transposed."""
    a, b = node.input(0), node.input(1)
    if not op.transpose_b:
        return to.add("MatMul", to.read(a), to.read(b))
    dims = list(range(b.type.rank))
    return to.add("MatMul", to.read(a), to.transposed(b, [*dims[:-2], dims[-1], dims[-2]]))
