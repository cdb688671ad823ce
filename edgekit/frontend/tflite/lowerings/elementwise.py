"""Arithmetic, comparison and selection, element by element, with broadcasting."""

from __future__ import annotations

import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.frontend.tflite.constants import DTYPES
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes, plain
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import ops
from edgekit.ir.types import dtype_name

_ARITHMETIC: dict[Op, ops.Op] = {Op.ADD: ops.Add(), Op.SUB: ops.Sub(), Op.MUL: ops.Mul(), Op.DIV: ops.Div()}

_BINARY: dict[Op, ops.Op] = {
    Op.MAXIMUM: ops.Maximum(),
    Op.MINIMUM: ops.Minimum(),
    Op.POW: ops.Pow(),
    Op.FLOOR_DIV: ops.FloorDiv(),
    Op.FLOOR_MOD: ops.Remainder(),
    Op.SQUARED_DIFFERENCE: ops.SquaredDifference(),
    Op.EQUAL: ops.Equal(),
    Op.NOT_EQUAL: ops.NotEqual(),
    Op.LESS: ops.Less(),
    Op.LESS_EQUAL: ops.LessEqual(),
    Op.GREATER: ops.Greater(),
    Op.GREATER_EQUAL: ops.GreaterEqual(),
    Op.LOGICAL_AND: ops.LogicalAnd(),
    Op.LOGICAL_OR: ops.LogicalOr(),
}

_UNARY: dict[Op, ops.Op] = {
    Op.EXP: ops.Exp(),
    Op.LOG: ops.Log(),
    Op.SQRT: ops.Sqrt(),
    Op.RSQRT: ops.Rsqrt(),
    Op.SQUARE: ops.Square(),
    Op.ABS: ops.Abs(),
    Op.NEG: ops.Neg(),
    Op.SIGN: ops.Sign(),
    Op.FLOOR: ops.Floor(),
    Op.CEIL: ops.Ceil(),
    Op.ROUND: ops.Round(),
    Op.SIN: ops.Sin(),
    Op.COS: ops.Cos(),
    Op.LOGICAL_NOT: ops.LogicalNot(),
}


@lowers(Op.ADD, Op.SUB, Op.MUL, Op.DIV)
def arithmetic(ctx: Lowering, a: Held | Sizes, b: Held | Sizes, *, fused_activation_function: int = 0) -> Result:
    """With a fused activation."""
    (first, second), order = ctx.aligned(ctx.tensor(a, "a"), ctx.tensor(b, "b"))
    if ctx.operator.code == Op.DIV and not first.type.is_float:
        raise ctx.refused("'DIV' of integers rounds towards zero", "divide in float, or use floor division")
    op = _ARITHMETIC[ctx.operator.code]
    return Held(ctx.with_activation(op, fused_activation_function, first, second), order)


@lowers(*_BINARY)
def binary(ctx: Lowering, a: Held | Sizes, b: Held | Sizes) -> Result:
    """Without attributes."""
    (first, second), order = ctx.aligned(ctx.tensor(a, "a"), ctx.tensor(b, "b"))
    return Held(ctx.add(_BINARY[ctx.operator.code], first, second), order)


@lowers(*_UNARY)
def unary(ctx: Lowering, x: Held) -> Result:
    """One tensor in any order."""
    return Held(ctx.add(_UNARY[ctx.operator.code], x.value), x.order)


@lowers(Op.ADD_N)
def add_n(ctx: Lowering, first: Held, *others: Held) -> Result:
    """The sum of several."""
    values, order = ctx.aligned(first, *others)
    total = values[0]
    for value in values[1:]:
        total = ctx.add(ops.Add(), total, value)
    return Held(total, order)


@lowers(Op.SELECT, Op.SELECT_V2)
def select(ctx: Lowering, condition: Held, x: Held, y: Held) -> Result:
    """x where the condition holds, else y; SELECT's condition may be one per row."""
    if ctx.operator.code == Op.SELECT and condition.rank == 1 and x.rank > 1:
        size = condition.shape[0]
        rows = ctx.reshape(ctx.plain(condition), (size, *(1,) * (x.rank - 1)))
        condition = Held(rows, tuple(range(x.rank)))
    values, order = ctx.aligned(condition, x, y)
    return Held(ctx.add(ops.Where(), *values), order)


@lowers(Op.CAST)
def cast(ctx: Lowering, x: Held, *, in_data_type: int = 0, out_data_type: int = 0) -> Result:
    """To the type that the result has in the file; the options are hints that many files leave out."""
    kind = TensorType(ctx.tensors[ctx.operator.outputs[0]].type)
    ctx.need(kind in DTYPES, f"to {kind.name.lower()}")
    if x.value.type.dtype == DTYPES[kind]:
        return Held(ctx.add(ops.Identity(), x.value), x.order)
    return Held(ctx.add(ops.Cast(dtype_name(DTYPES[kind])), x.value), x.order)


@lowers(Op.ZEROS_LIKE)
def zeros_like(ctx: Lowering, x: Held) -> Result:
    """Zeros of the same shape."""
    return Held(ctx.filled(x.value.shape, 0, x.value.type.dtype), x.order)


@lowers(Op.L2_NORMALIZATION)
def l2_normalization(ctx: Lowering, x: Held, *, fused_activation_function: int = 0) -> Result:
    """x / sqrt(max(sum x^2, 1e-6)) along the last dimension, as LiteRT's kernel bounds it (``l2normalization.h``)."""
    total = ctx.add(ops.Sum((x.order[-1],), keepdim=True), ctx.add(ops.Square(), x.value))
    length = ctx.add(ops.Sqrt(), total)
    floor = ctx.add(ops.Maximum(), length, ctx.scalar(1e-6, torch.float32))
    return ctx.activated(Held(ctx.add(ops.Div(), x.value, floor), x.order), fused_activation_function)


@lowers(Op.ONE_HOT)
def one_hot(ctx: Lowering, indices: Held, depth: Held | Sizes, on_value: Held, off_value: Held, *, axis: int = -1) -> Result:
    """``on`` where the place along a new last axis is the index, else ``off``."""
    count = ctx.one(depth, "a depth")
    ctx.need(axis in (-1, indices.rank), f"along axis {axis}", "a new last axis")
    ctx.count_constant(max(count, 0))
    index = ctx.plain(indices)
    places = ctx.constant(torch.arange(count).to(index.type.dtype), "places")
    same = ctx.add(ops.Equal(), ctx.reshape(index, (*index.shape, 1)), places)
    return plain(ctx.add(ops.Where(), same, ctx.plain(on_value), ctx.plain(off_value)))
