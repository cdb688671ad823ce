"""Elementwise arithmetic, comparison and selection. ONNX operators take one element type: inputs are cast as torch does."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.fused import activate
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node
from edgekit.ir.types import dtype_of

#: Ops of one operator, by its name there.
_ONE_OPERATOR: dict[type[ops.Op], str] = {
    ops.Exp: "Exp",
    ops.Log: "Log",
    ops.Sqrt: "Sqrt",
    ops.Abs: "Abs",
    ops.Neg: "Neg",
    ops.Sign: "Sign",
    ops.Floor: "Floor",
    ops.Ceil: "Ceil",
    ops.Round: "Round",
    ops.Sin: "Sin",
    ops.Cos: "Cos",
    ops.Erf: "Erf",
    ops.Add: "Add",
    ops.Sub: "Sub",
    ops.Mul: "Mul",
    ops.Div: "Div",
    ops.Maximum: "Max",
    ops.Minimum: "Min",
    ops.Pow: "Pow",
    ops.Equal: "Equal",
    ops.Less: "Less",
    ops.LessEqual: "LessOrEqual",
    ops.Greater: "Greater",
    ops.GreaterEqual: "GreaterOrEqual",
    ops.LogicalAnd: "And",
    ops.LogicalOr: "Or",
}


@emits(ops.Exp, ops.Log, ops.Sqrt, ops.Abs, ops.Neg, ops.Sign, ops.Floor, ops.Ceil, ops.Round, ops.Sin, ops.Cos, ops.Erf)
def function(to: Emission, node: Node, op: ops.Op) -> Tensor:
    """A function of each element."""
    _require_float(node, but=(ops.Abs, ops.Neg, ops.Sign))
    return to.add(_ONE_OPERATOR[type(op)], to.read(node.input(0)))


def _require_float(node: Node, but: tuple[type[ops.Op], ...] = ()) -> None:
    """Unsupported for integers where ONNX has the operator for floats only."""
    if not node.input(0).type.is_float and type(node.op) not in but:
        raise Unsupported(f"'{node.op.name}' of {node.input(0).type}", hint="cast to float32 first")


@emits(ops.Rsqrt)
def rsqrt(to: Emission, node: Node, op: ops.Op) -> Tensor:
    """1 / Sqrt(x)"""
    _require_float(node)
    return to.add("Reciprocal", to.add("Sqrt", to.read(node.input(0))))


@emits(ops.Square)
def square(to: Emission, node: Node, op: ops.Op) -> Tensor:
    """x * x"""
    x = to.read(node.input(0))
    return to.add("Mul", x, x)


def _pair(to: Emission, node: Node, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return to.read(node.input(0), dtype), to.read(node.input(1), dtype)


def _common(node: Node) -> torch.dtype:
    """The type to which torch promotes both inputs."""
    return torch.promote_types(node.input(0).type.dtype, node.input(1).type.dtype)


#: What torch's arithmetic on bools is.
_OF_BOOLS: dict[type[ops.Op], str] = {ops.Add: "Or", ops.Mul: "And", ops.Maximum: "Or", ops.Minimum: "And"}


@emits(ops.Add, ops.Sub, ops.Mul, ops.Div, ops.Maximum, ops.Minimum, ops.Pow)
def arithmetic(to: Emission, node: Node, op: ops.Add) -> Tensor:
    """One operator, then the fused activation."""
    dtype = node.output.type.dtype
    if isinstance(op, ops.Div) and not dtype.is_floating_point:
        raise Unsupported("integers are divided with '/'", hint="cast them to float first, or divide with '//'")
    if dtype == torch.bool and type(op) in _OF_BOOLS:
        return to.add(_OF_BOOLS[type(op)], *_pair(to, node, dtype))
    if dtype == torch.bool:
        raise Unsupported(f"arithmetic ('{op.name}') on bool tensors", hint="use the logical operators, or cast to int32 first")
    if dtype == torch.int16 and isinstance(op, ops.Maximum | ops.Minimum):  # ONNX Runtime has these for other integers
        return to.cast(to.add(_ONE_OPERATOR[type(op)], *_pair(to, node, torch.int32)), dtype)
    return activate(to, to.add(_ONE_OPERATOR[type(op)], *_pair(to, node, dtype)), op.activation, node.output)


@emits(ops.SquaredDifference)
def squared_difference(to: Emission, node: Node, op: ops.SquaredDifference) -> Tensor:
    """(a - b) * (a - b)"""
    difference = to.add("Sub", *_pair(to, node, node.output.type.dtype))
    return activate(to, to.add("Mul", difference, difference), op.activation, node.output)


@emits(ops.Remainder)
def remainder(to: Emission, node: Node, op: ops.Remainder) -> Tensor:
    """Mod, whose result has the divisor's sign for integers; see ``_float_remainder`` for floats."""
    a, b = _pair(to, node, node.output.type.dtype)
    result = _float_remainder(to, a, b) if node.output.type.is_float else to.add("Mod", a, b)
    return activate(to, result, op.activation, node.output)


@emits(ops.FloorDiv)
def floor_div(to: Emission, node: Node, op: ops.FloorDiv) -> Tensor:
    """(a - remainder(a, b)) / b, exact for integers; rounded for floats, as torch does (1.0 // 0.1 is 9)."""
    a, b = _pair(to, node, node.output.type.dtype)
    if node.output.type.is_float:
        rest = _float_remainder(to, a, b)
        result = to.add("Round", to.add("Div", to.add("Sub", a, rest), b))
    else:
        result = to.add("Div", to.add("Sub", a, to.add("Mod", a, b)), b)
    return activate(to, result, op.activation, node.output)


def _float_remainder(to: Emission, a: Tensor, b: Tensor) -> Tensor:
    """m - floor(m / b) * b with m = fmod(a, b): fmod has the sign of a, and the second step adds b where that is not b's."""
    m = to.add("Mod", a, b, fmod=1)
    return to.add("Sub", m, to.add("Mul", to.add("Floor", to.add("Div", m, b)), b))


@emits(ops.Equal, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual)
def compare(to: Emission, node: Node, op: ops.Op) -> Tensor:
    """A comparison; bools are ordered as 0 and 1."""
    dtype = _common(node)
    if dtype == torch.bool and not isinstance(op, ops.Equal):
        dtype = torch.int32
    return to.add(_ONE_OPERATOR[type(op)], *_pair(to, node, dtype))


@emits(ops.NotEqual)
def not_equal(to: Emission, node: Node, op: ops.NotEqual) -> Tensor:
    """Not(Equal(a, b))"""
    return to.add("Not", to.add("Equal", *_pair(to, node, _common(node))))


@emits(ops.LogicalAnd, ops.LogicalOr)
def logical(to: Emission, node: Node, op: ops.Op) -> Tensor:
    """And, Or; numbers are true where they are not zero."""
    return to.add(_ONE_OPERATOR[type(op)], *_pair(to, node, torch.bool))


@emits(ops.LogicalNot)
def logical_not(to: Emission, node: Node, op: ops.LogicalNot) -> Tensor:
    """Not."""
    return to.add("Not", to.read(node.input(0), torch.bool))


@emits(ops.Where)
def where(to: Emission, node: Node, op: ops.Where) -> Tensor:
    """Where; ONNX Runtime has it for floats, int32, int64 and uint8, so other integers and bools pass through int32."""
    dtype = node.output.type.dtype
    within = dtype if dtype.is_floating_point or dtype in (torch.int64, torch.uint8) else torch.int32
    result = to.add("Where", to.read(node.input(0), torch.bool), to.read(node.input(1), within), to.read(node.input(2), within))
    return result if within == dtype else to.cast(result, dtype)


@emits(ops.Cast)
def cast(to: Emission, node: Node, op: ops.Cast) -> Tensor:
    """Cast; nothing where the type is the same."""
    return to.read(node.input(0), dtype_of(op.dtype))


@emits(ops.Identity)
def identity(to: Emission, node: Node, op: ops.Identity) -> Tensor:
    """The border between integers and real numbers: what it does is read from the quantisation on both sides.

    Quantising and requantising is ``bind``'s QuantizeLinear on what is read here; dequantising is a DequantizeLinear of its
    own, so that the result can carry the output's name.
    """
    x = node.input(0)
    if x.quant is not None and node.output.quant is None:
        return to.dequantize(to.read_integers(x), x.quant, to.label(x))
    return to.read(x)
