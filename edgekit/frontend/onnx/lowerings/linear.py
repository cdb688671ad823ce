"""Matrix products."""

from __future__ import annotations

from edgekit.frontend.einsum import contract
from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops


@lowers("Gemm")
def gemm(
    ctx: Lowering,
    a: Value,
    b: Value,
    c: Value | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    broadcast: int = 0,
) -> Result:
    """alpha * A B + beta * C; a linear layer where B is a constant."""
    ctx.need(a.type.rank == b.type.rank == 2, f"of {a.type} and {b.type}")
    if transA:
        a = ctx.permute(a, (1, 0))
    bias = None if c is None else ctx.mul(c, beta)
    if b.is_constant:
        weight = ctx.mul(b if transB else ctx.permute(b, (1, 0)), alpha)
        return _with_bias(ctx, a, weight, bias)
    product = ctx.mul(ctx.add(ops.Matmul(transpose_b=bool(transB)), a, b), alpha)
    return product if bias is None else ctx.add(ops.Add(), product, bias)


def _with_bias(ctx: Lowering, x: Value, weight: Value, bias: Value | None) -> Value:
    """The bias in the layer where it is one number for each output."""
    outputs = weight.shape[0]
    if bias is None:
        return ctx.add(ops.Linear(), x, weight, None)
    if bias.is_constant and bias.type.numel() == outputs and bias.shape[-1:] == (outputs,):
        return ctx.add(ops.Linear(), x, weight, ctx.reshape(bias, (outputs,)))
    if bias.is_constant and bias.type.numel() == 1:
        return ctx.add(ops.Linear(), x, weight, ctx.add(ops.Tile(repeats=(outputs,)), ctx.reshape(bias, (1,))))
    return ctx.add(ops.Add(), ctx.add(ops.Linear(), x, weight, None), bias)


@lowers("MatMul")
def matmul(ctx: Lowering, a: Value, b: Value) -> Result:
    """Like numpy's; by a constant matrix, a linear layer."""
    ctx.need(a.type.rank > 0 and b.type.rank > 0, f"of {a.type} and {b.type}")
    if b.is_constant and b.type.rank == 2 and a.type.rank > 1 and not a.is_constant:
        return ctx.add(ops.Linear(), a, ctx.permute(b, (1, 0)), None)
    left = a if a.type.rank > 1 else ctx.reshape(a, (1, *a.shape))
    right = b if b.type.rank > 1 else ctx.reshape(b, (*b.shape, 1))
    product = ctx.add(ops.Matmul(), left, right)
    shape = list(product.shape)
    if b.type.rank == 1:
        del shape[-1]
    if a.type.rank == 1:
        del shape[-1 if b.type.rank == 1 else -2]
    return ctx.reshape(product, shape)


@lowers("Einsum")
def einsum(ctx: Lowering, *inputs: Value, equation: str) -> Result:
    """Operands are contracted from left to right."""
    try:
        return contract(ctx, equation, inputs)
    except (ValueError, IndexError, StopIteration) as error:
        raise ctx.refused(f"'Einsum' has the equation '{equation}' for {len(inputs)} inputs: {error}") from error
