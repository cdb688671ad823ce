"""Arithmetic, comparison and functions of single elements."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.export.tflite.element_types import tensor_type
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.fused import FUSED, finish, give_before
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import ops
from edgekit.ir.ops.base import Op as GraphOp

#: Arithmetic with a fused activation.
_FUSING: dict[type[GraphOp], tuple[Op, str]] = {
    ops.Add: (Op.ADD, "AddOptions"),
    ops.Sub: (Op.SUB, "SubOptions"),
    ops.Mul: (Op.MUL, "MulOptions"),
    ops.Div: (Op.DIV, "DivOptions"),
}

_BINARY: dict[type[GraphOp], tuple[Op, str]] = {
    ops.Maximum: (Op.MAXIMUM, "MaximumMinimumOptions"),
    ops.Minimum: (Op.MINIMUM, "MaximumMinimumOptions"),
    ops.Pow: (Op.POW, "PowOptions"),
    ops.FloorDiv: (Op.FLOOR_DIV, "FloorDivOptions"),
    ops.Remainder: (Op.FLOOR_MOD, "FloorModOptions"),
    ops.SquaredDifference: (Op.SQUARED_DIFFERENCE, "SquaredDifferenceOptions"),
}

_COMPARING: dict[type[GraphOp], tuple[Op, str]] = {
    ops.Equal: (Op.EQUAL, "EqualOptions"),
    ops.NotEqual: (Op.NOT_EQUAL, "NotEqualOptions"),
    ops.Less: (Op.LESS, "LessOptions"),
    ops.LessEqual: (Op.LESS_EQUAL, "LessEqualOptions"),
    ops.Greater: (Op.GREATER, "GreaterOptions"),
    ops.GreaterEqual: (Op.GREATER_EQUAL, "GreaterEqualOptions"),
    ops.LogicalAnd: (Op.LOGICAL_AND, "LogicalAndOptions"),
    ops.LogicalOr: (Op.LOGICAL_OR, "LogicalOrOptions"),
}

_UNARY: dict[type[GraphOp], tuple[Op, str | None]] = {
    ops.Exp: (Op.EXP, "ExpOptions"),
    ops.Log: (Op.LOG, None),
    ops.Sqrt: (Op.SQRT, None),
    ops.Rsqrt: (Op.RSQRT, None),
    ops.Square: (Op.SQUARE, "SquareOptions"),
    ops.Abs: (Op.ABS, "AbsOptions"),
    ops.Neg: (Op.NEG, "NegOptions"),
    ops.Sign: (Op.SIGN, "SignOptions"),
    ops.Floor: (Op.FLOOR, None),
    ops.Ceil: (Op.CEIL, None),
    ops.Round: (Op.ROUND, None),
    ops.Sin: (Op.SIN, None),
    ops.Cos: (Op.COS, "CosOptions"),
    ops.LogicalNot: (Op.LOGICAL_NOT, "LogicalNotOptions"),
}


def _operands(site: Site, dtype: torch.dtype, *indices: int) -> list[int]:
    """Operands as one element type."""
    return [_as(site, index, dtype) for index in indices]


def _as(site: Site, index: int, dtype: torch.dtype) -> int:
    value = site.node.input(index)
    if value.type.dtype == dtype or value.quant is not None:
        return site.operand(index)
    if value.is_constant:
        tensor = site.sheet.tensors[site.operand(index)]
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        return site.sheet.constant(tensor.array().astype(kind))
    tensor_in = site.operand(index)
    out = site.new(site.sheet.tensors[tensor_in].shape, tensor_type(dtype))
    write_cast(site, tensor_in, out)
    return out


def write_cast(site: Site, x: int, out: int) -> None:
    """CAST to the type of ``out``."""
    kinds = {"in_data_type": site.sheet.tensors[x].type, "out_data_type": site.sheet.tensors[out].type}
    site.write(Op.CAST, [x], [out], Options("CastOptions", {key: int(kind) for key, kind in kinds.items()}))


@emits(ops.Add, ops.Sub, ops.Mul, ops.Div)
def fusing(site: Site, op: ops.Add | ops.Sub | ops.Mul | ops.Div) -> None:
    """Arithmetic whose kernels apply an activation themselves."""
    code, table = _FUSING[type(op)]
    operands = _operands(site, site.node.output.type.dtype, 0, 1)
    site.write(code, operands, options=Options(table, {"fused_activation_function": FUSED[op.activation]}))


@emits(*_BINARY)
def binary(site: Site, op: ops.Maximum) -> None:
    """Arithmetic whose kernels fuse nothing."""
    code, table = _BINARY[type(op)]
    operands = _operands(site, site.node.output.type.dtype, 0, 1)
    result = give_before(site, op.activation)
    site.write(code, operands, [result], Options(table))
    finish(site, op.activation, result)


@emits(*_COMPARING)
def comparing(site: Site, op: ops.Equal) -> None:
    """Comparisons in the operands' common type."""
    code, table = _COMPARING[type(op)]
    dtype = torch.promote_types(site.node.input(0).type.dtype, site.node.input(1).type.dtype)
    site.write(code, _operands(site, dtype, 0, 1), options=Options(table))


@emits(*_UNARY)
def unary(site: Site, op: GraphOp) -> None:
    """Functions of one element."""
    code, table = _UNARY[type(op)]
    site.write(code, [site.read()], options=None if table is None else Options(table))


@emits(ops.Where)
def where(site: Site, op: ops.Where) -> None:
    """SELECT_V2, which broadcasts."""
    dtype = site.node.output.type.dtype
    operands = [site.operand(0), *_operands(site, dtype, 1, 2)]
    site.write(Op.SELECT_V2, operands, options=Options("SelectV2Options"))


@emits(ops.Cast)
def cast(site: Site, op: ops.Cast) -> None:
    """CAST; nothing where the type stays. To bool it asks for a difference from zero, as in torch."""
    x = site.read()
    if site.node.input(0).type.dtype == site.node.output.type.dtype:
        site.alias(x)
    elif site.node.output.type.dtype == torch.bool:
        zero = site.sheet.constant(np.zeros_like(np.empty((), site.node.input(0).type.dtype.__str__().removeprefix("torch."))))
        site.write(Op.NOT_EQUAL, [x, zero], options=Options("NotEqualOptions"))
    else:
        write_cast(site, x, site.give())


@emits(ops.Identity)
def identity(site: Site, op: ops.Identity) -> None:
    """The border between float and integers: QUANTIZE, DEQUANTIZE, or QUANTIZE to other parameters."""
    before, after = site.node.input(0).quant, site.node.output.quant
    x = site.operand(0)
    if before == after:
        site.alias(x)
    elif after is None:
        site.write(Op.DEQUANTIZE, [x], options=Options("DequantizeOptions"))
    else:
        site.write(Op.QUANTIZE, [x], options=Options("QuantizeOptions"))
