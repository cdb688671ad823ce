"""Elementwise ops of one tensor and of several that broadcast."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.coupling.context import BATCH, Coupling, stays
from edgekit.compress.prune.coupling.table import couples
from edgekit.ir import Batch, Dim, Node, Value, ops


@couples(
    *[ops.Relu, ops.Relu6, ops.Clamp, ops.LeakyRelu, ops.Elu, ops.Gelu, ops.Silu, ops.Mish, ops.Hardswish, ops.Hardsigmoid],
    *[ops.Sigmoid, ops.Tanh, ops.Softplus, ops.Softsign, ops.Hardshrink, ops.Softshrink, ops.Threshold, ops.Dropout],
    *[ops.Exp, ops.Log, ops.Sqrt, ops.Rsqrt, ops.Square, ops.Abs, ops.Neg, ops.Sign, ops.Floor, ops.Ceil, ops.Round],
    *[ops.Sin, ops.Cos, ops.Erf, ops.Cast, ops.Identity, ops.LogicalNot, ops.BinarySign],
)
def unary(node: Node, c: Coupling) -> None:
    """Every axis passes."""
    c.label(node.output, c.all_axes(node.input(0)))


@couples(
    *[ops.Add, ops.Sub, ops.Mul, ops.Div, ops.Maximum, ops.Minimum, ops.Pow, ops.FloorDiv, ops.Remainder],
    *[ops.SquaredDifference, ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual],
    *[ops.LogicalAnd, ops.LogicalOr, ops.Where],
)
def broadcast(node: Node, c: Coupling) -> None:
    """Axes of equal size go together; an axis of size 1 fits every number of channels."""
    values = [v for v in node.inputs if v is not None]
    c.label(node.output, joined_axes([(v, v.type.rank) for v in values], node.output.shape, c))


@couples(ops.Prelu)
def prelu(node: Node, c: Coupling) -> None:
    """One slope per channel (axis 1) goes with it; a single one fits all."""
    x, weight = node.input(0), node.input(1)
    if weight.type.numel() > 1:
        c.bind(weight, 0, c.axis(x, 1))
    c.label(node.output, c.all_axes(x))


@couples(ops.Softmax, ops.LogSoftmax, ops.Cumsum)
def along_an_axis(node: Node, c: Coupling) -> None:
    """Indices along the axis depend on each other: they stay. The others pass."""
    x = node.input(0)
    c.fix(c.axis(x, node.op.axis), "what comes out depends on every index")  # type: ignore[attr-defined]
    c.label(node.output, c.all_axes(x))


def joined_axes(operands: Sequence[tuple[Value, int]], shape: Sequence[Dim], c: Coupling) -> list[Labels]:
    """Labels of the first axes of a broadcast result.

    Args:
        operands: values, and how many of their first axes take part, aligned at the last of them.
        shape: the sizes of those axes in the result.
        c: joins them.
    """
    out = []
    for axis, size in enumerate(shape):
        if isinstance(size, Batch):
            out.append(BATCH)
            continue
        here = [(v, count - len(shape) + axis) for v, count in operands if count - len(shape) + axis >= 0]
        wide = sorted((pair for pair in here if pair[0].type.shape[pair[1]] == size != 1), key=lambda pair: pair[0].is_constant)
        if not wide:
            out.append(stays(size))
            continue
        labels = c.axis(*wide[0])
        for value, at in wide[1:]:
            c.bind(value, at, labels)
        out.append(labels)
    return out
