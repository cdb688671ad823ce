"""Arithmetic, comparison and functions of single elements."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.export.tflite.element_types import tensor_type
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.fused import FUSED, finish, give_before
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import NUMPY_OF, Options, OptionValue
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
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


def operands(site: Site, dtype: torch.dtype, *indices: int) -> list[int]:
    """Operands as one element type."""
    return [operand(site, index, dtype) for index in indices]


def operand(site: Site, index: int, dtype: torch.dtype) -> int:
    """An operand as an element type."""
    value, tensor = site.node.input(index), site.operand(index)
    if value.type.dtype == dtype or value.quant is not None:
        return tensor
    if value.is_constant:
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        return site.sheet.constant(site.sheet.tensors[tensor].array().astype(kind))
    return as_type(site, tensor, tensor_type(dtype))


def as_type(site: Site, tensor: int, kind: TensorType) -> int:
    """A tensor cast to a type, itself where it has that type. To bool it asks for a difference from zero, as in torch."""
    have = site.sheet.tensors[tensor]
    if have.type == kind:
        return tensor
    out = site.new(have.shape, kind)
    write_cast(site, tensor, out)
    return out


def write_cast(site: Site, x: int, out: int) -> None:
    """CAST to the type of ``out``."""
    before, after = site.sheet.tensors[x].type, site.sheet.tensors[out].type
    if after == TensorType.BOOL:
        zero = site.sheet.constant(np.zeros((), NUMPY_OF[before]))
        site.write(Op.NOT_EQUAL, [x, zero], [out], Options("NotEqualOptions"))
    else:
        kinds: dict[str, OptionValue] = {"in_data_type": int(before), "out_data_type": int(after)}
        site.write(Op.CAST, [x], [out], Options("CastOptions", kinds))


#: Integers that are numbers and not quantised: kernels of these types expect scales, and end the process without them.
_NARROW = frozenset({torch.int8, torch.uint8, torch.int16})


def _computed_in(site: Site, dtype: torch.dtype) -> torch.dtype:
    """The type that kernels compute in."""
    quantised = any(value is not None and value.quant is not None for value in (*site.node.inputs, *site.node.outputs))
    return torch.int32 if dtype in _NARROW and not quantised else dtype


def _write_wide(site: Site, code: Op, options: Options) -> bool:
    """Arithmetic of narrow integers in int32, cast back, which wraps as theirs does; False for all other types."""
    dtype = site.node.output.type.dtype
    if _computed_in(site, dtype) == dtype:
        return False
    out = site.give()
    wide = site.new(site.sheet.tensors[out].shape, TensorType.INT32)
    site.write(code, operands(site, torch.int32, 0, 1), [wide], options)
    write_cast(site, wide, out)
    return True


#: What arithmetic on bools means.
_LOGICAL: dict[type[GraphOp], tuple[Op, str]] = {
    ops.Add: (Op.LOGICAL_OR, "LogicalOrOptions"),
    ops.Mul: (Op.LOGICAL_AND, "LogicalAndOptions"),
    ops.Maximum: (Op.LOGICAL_OR, "LogicalOrOptions"),
    ops.Minimum: (Op.LOGICAL_AND, "LogicalAndOptions"),
}


@emits(ops.Add, ops.Sub, ops.Mul, ops.Div)
def fusing(site: Site, op: ops.Add | ops.Sub | ops.Mul | ops.Div) -> None:
    """Arithmetic whose kernels apply an activation themselves."""
    code, table = _FUSING[type(op)]
    if _write_wide(site, code, Options(table)):
        return
    given = operands(site, site.node.output.type.dtype, 0, 1)
    if site.node.output.type.dtype == torch.bool and type(op) in _LOGICAL:
        code, table = _LOGICAL[type(op)]
        site.write(code, given, options=Options(table))
        return
    fields: dict[str, OptionValue] = {"fused_activation_function": FUSED[op.activation]}
    quant = site.node.output.quant
    if quant is not None and quant.dtype == "int16" and isinstance(op, ops.Add | ops.Sub):
        fields["pot_scale_int16"] = False  # by default, scales that are powers of two take a kernel that only shifts
    site.write(code, given, options=Options(table, fields))


@emits(*_BINARY)
def binary(site: Site, op: ops.Maximum) -> None:
    """Arithmetic whose kernels fuse nothing."""
    code, table = _BINARY[type(op)]
    if _write_wide(site, code, Options(table)):
        return
    given = operands(site, site.node.output.type.dtype, 0, 1)
    if site.node.output.type.dtype == torch.bool and type(op) in _LOGICAL:
        code, table = _LOGICAL[type(op)]
    result = give_before(site, op.activation)
    site.write(code, given, [result], Options(table))
    finish(site, op.activation, result)


@emits(*_COMPARING)
def comparing(site: Site, op: GraphOp) -> None:
    """Comparisons in the operands' common type; the order of bools is that of numbers."""
    code, table = _COMPARING[type(op)]
    if isinstance(op, ops.LogicalAnd | ops.LogicalOr):
        dtype = torch.bool
    else:
        dtype = torch.promote_types(site.node.input(0).type.dtype, site.node.input(1).type.dtype)
        if dtype == torch.bool and not isinstance(op, ops.Equal | ops.NotEqual):
            dtype = torch.int32
    site.write(code, operands(site, _computed_in(site, dtype), 0, 1), options=Options(table))


@emits(*_UNARY)
def unary(site: Site, op: GraphOp) -> None:
    """Functions of one element."""
    code, table = _UNARY[type(op)]
    x = site.read()
    if isinstance(op, ops.LogicalNot):
        x = as_type(site, x, TensorType.BOOL)
    elif not site.node.output.type.is_float and _integer_unary(site, op, x):
        return
    site.write(code, [x], options=None if table is None else Options(table))


def _integer_unary(site: Site, op: GraphOp, x: int) -> bool:
    """Functions of an integer by operators that all runtimes have for integers; False where none is needed."""
    kind = NUMPY_OF[site.sheet.tensors[x].type]
    if isinstance(op, ops.Square):
        site.write(Op.MUL, [x, x], options=Options("MulOptions"))
    elif isinstance(op, ops.Abs):
        negative = site.new_like(x, site.sheet.tensors[x].shape)
        site.write(Op.NEG, [x], [negative], Options("NegOptions"))
        site.write(Op.MAXIMUM, [x, negative], options=Options("MaximumMinimumOptions"))
    elif isinstance(op, ops.Sign):
        low, high = (site.sheet.constant(np.array(bound, kind)) for bound in (-1, 1))
        bounded = site.new_like(x, site.sheet.tensors[x].shape)
        site.write(Op.MAXIMUM, [x, low], [bounded], Options("MaximumMinimumOptions"))
        site.write(Op.MINIMUM, [bounded, high], options=Options("MaximumMinimumOptions"))
    elif isinstance(op, ops.Floor | ops.Ceil | ops.Round):
        site.alias(x)
    else:
        return False
    return True


@emits(ops.Where)
def where(site: Site, op: ops.Where) -> None:
    """SELECT_V2, which broadcasts."""
    dtype = site.node.output.type.dtype
    given = [site.operand(0), *operands(site, dtype, 1, 2)]
    site.write(Op.SELECT_V2, given, options=Options("SelectV2Options"))


@emits(ops.Cast)
def cast(site: Site, op: ops.Cast) -> None:
    """CAST; nothing where the type stays."""
    x = site.read()
    if site.node.input(0).type.dtype == site.node.output.type.dtype:
        site.alias(x)
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
