"""Convolutions: plain, grouped, depthwise with any multiplier, and transposed."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import Coupling, stays
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Node, ops
from edgekit.ir.ops import Op


@couples(ops.Conv1d, ops.Conv2d)
def conv(node: Node, c: Coupling) -> None:
    """Weight (O, I / groups, *kernel). Every group keeps as many inputs and outputs; a depthwise group goes with its channel,
    and where that must stay every group may still have fewer outputs.
    """
    x, weight, op = node.input(0), node.input(1), node.op
    assert isinstance(op, ops.Conv1d | ops.Conv2d)
    size, per_group, groups = weight.tensor_shape[0], weight.tensor_shape[1], op.groups
    fix_positions(node, c)
    c.makes(weight, 0)
    out = c.axis(weight, 0)
    if groups == 1:
        c.bind(weight, 1, c.axis(x, 1))
    elif per_group == 1 and c.has_free(c.axis(x, 1)):  # depthwise: group i is channel i, with all that is made of it
        c.join(out, np.repeat(c.axis(x, 1), size // groups))
    else:
        if per_group > 1:
            _inputs_of_groups(node, c, groups)
        c.balance(out, groups)
    finish(node, c, out)


@couples(ops.ConvTranspose1d, ops.ConvTranspose2d)
def conv_transpose(node: Node, c: Coupling) -> None:
    """Weight (I, O / groups, *kernel): all groups share its second axis, and keep as many inputs."""
    x, weight, op = node.input(0), node.input(1), node.op
    assert isinstance(op, ops.ConvTranspose1d | ops.ConvTranspose2d)
    size, per_group, groups = weight.tensor_shape[0], weight.tensor_shape[1], op.groups
    fix_positions(node, c)
    if groups > 1 and size == groups:
        c.bind(weight, 0, c.axis(x, 1))
        c.makes(weight, 0)
        c.fix(c.axis(weight, 1), "every group has the same number of outputs")
        out = np.repeat(c.axis(x, 1), per_group)
    else:
        c.bind(weight, 0, c.axis(x, 1))
        if groups > 1:
            c.balance(c.axis(x, 1), groups)
        c.makes(weight, 1)
        out = np.tile(c.axis(weight, 1), groups)
    finish(node, c, out)


def _inputs_of_groups(node: Node, c: Coupling, groups: int) -> None:
    """Each group keeps inputs of its own choice, as many as the others: every row of the weight is cut by its group.

    Where another op reads the weight too, or it is computed, all groups keep the same.
    """
    x, weight = node.input(0), node.input(1)
    alike = all(type(user.op) is type(node.op) and user.op.groups == groups for user in weight.users)  # type: ignore[attr-defined]
    if weight.is_constant and alike and all(user.input(1) is weight for user in weight.users):
        c.balance(c.axis(x, 1), groups)
        first, _ = c.grouped.setdefault(id(weight), (x, groups))
        if first is not x:
            c.join(c.axis(first, 1), c.axis(x, 1))
        return
    rows: Labels = c.axis(x, 1).reshape(groups, -1)
    for row in rows[1:]:
        c.join(rows[0], row)
    c.bind(weight, 1, rows[0])


def fix_positions(node: Node, c: Coupling) -> None:
    """Kernel axes stay, and positions over which a kernel slides."""
    x, weight = node.input(0), node.input(1)
    c.fix_axes(weight, range(2, weight.type.rank), "positions are not channels")
    c.fix_axes(x, [axis for axis in range(2, x.type.rank) if not _passes(node, axis)], "positions are not channels")


def _passes(node: Node, axis: int) -> bool:
    """Along this axis the convolution does the same to every index alone: a kernel of size 1, no stride, no padding."""
    op, i = node.op, axis - 2
    assert isinstance(op, ops.Conv1d | ops.Conv2d | ops.ConvTranspose1d | ops.ConvTranspose2d)
    same = node.input(0).shape[axis] == node.output.shape[axis]
    return same and node.input(1).shape[axis] == 1 and op.stride[i] == 1 and op.padding[i] == (0, 0)


def finish(node: Node, c: Coupling, out: Labels) -> None:
    """Bias and result."""
    if (bias := node.optional(2)) is not None:
        c.bind(bias, 0, out)
    x = node.input(0)
    spatial = [
        c.axis(x, i) if _passes(node, i) else stays(d) if isinstance(d, int) else stays(0)
        for i, d in enumerate(node.output.shape[2:], 2)
    ]
    c.label(node.output, [c.axis(node.input(0), 0), out, *spatial])


@shrinks(ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d)
def conv_groups(change: Change) -> Op:
    """Depthwise: as many groups as channels are left. Other groups are all thinned alike."""
    op, x, weight = change.op, change.old.input(0), change.old.input(1)
    transposed = isinstance(op, ops.ConvTranspose1d | ops.ConvTranspose2d)
    per_group = x.tensor_shape[1] // op.groups if transposed else weight.tensor_shape[1]  # type: ignore[attr-defined]
    if op.groups > 1 and per_group == 1:  # type: ignore[attr-defined]
        return op.with_(groups=len(change.kept(x, 1)))
    return op
