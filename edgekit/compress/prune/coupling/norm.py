"""Normalisation. Where channels that go were part of the statistics, the smaller network normalises over those that stay."""

from __future__ import annotations

from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import Coupling
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Node, ops
from edgekit.ir.ops import Op


@couples(ops.BatchNorm, ops.InstanceNorm)
def per_channel(node: Node, c: Coupling) -> None:
    """Weight, bias and statistics have one entry per channel (axis 1)."""
    _bind_channels(node, c, 5)
    if isinstance(node.op, ops.InstanceNorm):
        c.fix_axes(node.input(0), range(2, node.input(0).type.rank), "positions are not channels")
    c.label(node.output, c.all_axes(node.input(0)))


@couples(ops.GroupNorm)
def group_norm(node: Node, c: Coupling) -> None:
    """The same number of channels goes from every group; groups of one channel go with it."""
    x, groups = node.input(0), node.op.groups  # type: ignore[attr-defined]
    c.fix_axes(x, range(2, x.type.rank), "positions are not channels")
    if 1 < groups < x.tensor_shape[1]:
        c.balance(c.axis(x, 1), groups)
    _bind_channels(node, c, 3)
    c.label(node.output, c.all_axes(x))


@couples(ops.LayerNorm, ops.RmsNorm)
def last_axes(node: Node, c: Coupling) -> None:
    """Weight and bias have the shape of the last axes."""
    x, axes = node.input(0), node.op.axes  # type: ignore[attr-defined]
    for value in node.inputs[1:]:
        if value is not None:
            for axis in range(-axes, 0):
                c.bind(value, axis, c.axis(x, axis))
    c.label(node.output, c.all_axes(x))


def _bind_channels(node: Node, c: Coupling, inputs: int) -> None:
    for value in node.inputs[1:inputs]:
        if value is not None:
            c.bind(value, 0, c.axis(node.input(0), 1))


@shrinks(ops.GroupNorm)
def groups_of_one(change: Change) -> Op:
    """Groups of one channel become as many as there are channels."""
    x = change.old.input(0)
    if change.op.groups > 1 and change.op.groups == x.tensor_shape[1]:  # type: ignore[attr-defined]
        return change.op.with_(groups=len(change.kept(x, 1)))
    return change.op
