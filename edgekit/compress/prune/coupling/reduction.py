"""Reductions over axes. A mean or an extreme of channels is taken of those that stay."""

from __future__ import annotations

from edgekit.compress.prune.coupling.context import Coupling, stays
from edgekit.compress.prune.coupling.table import couples
from edgekit.ir import Node, ops


@couples(ops.Mean, ops.Sum, ops.Amax, ops.Amin)
def reduce(node: Node, c: Coupling) -> None:
    """Reduced axes end here; the others pass."""
    x = node.input(0)
    axes = node.op.axes or tuple(range(x.type.rank))  # type: ignore[attr-defined]
    keepdim = node.op.keepdim  # type: ignore[attr-defined]
    rows = [stays(1) if i in axes else labels for i, labels in enumerate(c.all_axes(x)) if keepdim or i not in axes]
    c.label(node.output, rows)


@couples(ops.Argmax)
def argmax(node: Node, c: Coupling) -> None:
    """The result is an index along the axis, which therefore stays."""
    x, op = node.input(0), node.op
    assert isinstance(op, ops.Argmax)
    axis = op.axis % x.type.rank
    c.fix(c.axis(x, axis), "the result is an index")
    rows = [stays(1) if i == axis else labels for i, labels in enumerate(c.all_axes(x)) if op.keepdim or i != axis]
    c.label(node.output, rows)
