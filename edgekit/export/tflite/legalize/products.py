"""Matrix products in the form of the kernel that is fastest for them."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.ir import Node, Value, ops
from edgekit.ir.ops.base import Op
from edgekit.ir.types import Dim

_ACTIVATION: dict[str, Op] = {"relu": ops.Relu(), "relu6": ops.Relu6(), "relu_n1_to_1": ops.Clamp(-1.0, 1.0)}


@dataclass(frozen=True)
class LowerComputedLinear(Lowering):
    """A linear layer whose weight the model computes is a product of two activations."""

    kind = ops.Linear

    def lower(self, build: Build, node: Node, op: ops.Linear) -> Value:
        """matmul(x, weight^T) + bias."""
        if node.input(1).is_constant:
            raise Skip("a constant weight")
        if node.output.quant is not None:
            raise Skip("no integer form")
        y = build(ops.Matmul(transpose_b=True), node.input(0), node.input(1))
        if (bias := node.optional(2)) is not None:
            return build(ops.Add(activation=op.activation), y, bias)
        return y if op.activation == "none" else build(_ACTIVATION[op.activation], y)


@dataclass(frozen=True)
class ConstantMatmulToLinear(Lowering):
    """A product with a constant matrix is a linear layer, whose kernel packs the matrix once.

    Given::   %y = matmul(%x: [..., I], @w: [I, O])
    Result::  %y = linear(%x, @w transposed)
    """

    kind = ops.Matmul

    def lower(self, build: Build, node: Node, op: ops.Matmul) -> Value:
        """Integers too, if the matrix is symmetric about zero."""
        x, w = node.input(0), node.input(1)
        if not w.is_constant or w.type.rank != 2 or x.is_constant or x.type.rank < 2:
            raise Skip("not a constant matrix")
        if w.quant is not None and (w.quant.axis is not None or any(w.quant.zero_point)):
            raise Skip("the matrix is not symmetric about zero")
        weight = build.tensor(w.tensor if op.transpose_b else w.tensor.T.contiguous())
        weight.quant = w.quant
        return build(ops.Linear(), x, weight)


@dataclass(frozen=True)
class VectorMatmul(Lowering):
    """A product with a vector: BATCH_MATMUL takes matrices, so the vector becomes one."""

    kind = ops.Matmul

    def lower(self, build: Build, node: Node, op: ops.Matmul) -> Value:
        """The added dimension goes again afterwards."""
        a, b = node.input(0), node.input(1)
        if a.type.rank > 1 and b.type.rank > 1:
            raise Skip("two matrices")
        if op.transpose_b and b.type.rank == 1:
            raise Skip("a vector has nothing to transpose")
        if a.type.rank == 1:
            a = reshaped(build, a, (1, *a.type.shape))
        if b.type.rank == 1:
            b = reshaped(build, b, (*b.type.shape, 1))
        y = build(ops.Matmul(op.transpose_b), a, b, quant=node.output.quant)
        return build(ops.Reshape(node.output.type.shape), y)


@dataclass(frozen=True)
class VectorLinear(Lowering):
    """FULLY_CONNECTED takes rows, so a vector becomes one."""

    kind = ops.Linear

    def lower(self, build: Build, node: Node, op: ops.Linear) -> Value:
        """The added dimension goes again afterwards."""
        x = node.input(0)
        if x.type.rank != 1:
            raise Skip("rows")
        rest = [value for value in node.inputs[1:] if value is not None]
        row = reshaped(build, x, (1, *x.type.shape))
        return build(ops.Reshape(node.output.type.shape), build(op, row, *rest, quant=node.output.quant))


def reshaped(build: Build, value: Value, shape: tuple[Dim, ...]) -> Value:
    """A value under another shape; a constant at once."""
    if not value.is_constant:
        return build(ops.Reshape(shape), value, quant=value.quant)
    out = build.tensor(value.tensor.reshape([size for size in shape if isinstance(size, int)]))
    out.quant = value.quant
    return out
