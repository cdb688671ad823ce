"""Ops that move, repeat or surround elements."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import Coupling
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Batch, Node, ops
from edgekit.ir.ops import Op


@couples(ops.Permute)
def permute(node: Node, c: Coupling) -> None:
    """Axes change places."""
    rows = c.all_axes(node.input(0))
    c.label(node.output, [rows[i] for i in node.op.dims])  # type: ignore[attr-defined]


@couples(ops.Flip)
def flip(node: Node, c: Coupling) -> None:
    """Reversed along the axes."""
    axes = node.op.axes  # type: ignore[attr-defined]
    c.label(node.output, [row[::-1] if i in axes else row for i, row in enumerate(c.all_axes(node.input(0)))])


@couples(ops.Roll)
def roll(node: Node, c: Coupling) -> None:
    """The rolled axes stay: a shift counts indices."""
    x = node.input(0)
    c.fix_axes(x, node.op.axes, "a shift counts all indices")  # type: ignore[attr-defined]
    c.label(node.output, c.all_axes(x))


@couples(ops.Expand)
def expand(node: Node, c: Coupling) -> None:
    """Copies along an axis of size 1 are channels of their own: there may be fewer of them."""
    x, offset = node.input(0), node.output.type.rank - node.input(0).type.rank
    rows = []
    for axis, size in enumerate(node.output.shape):
        passes = axis >= offset and x.shape[axis - offset] == size
        if passes:
            rows.append(c.axis(x, axis - offset))
        else:
            rows.append(c.atoms.fresh(0 if isinstance(size, Batch) else size))
    c.label(node.output, rows)


@shrinks(ops.Expand)
def expand_shape(change: Change) -> Op:
    """Fewer copies."""
    return change.op.with_(shape=change.new_shape(change.old.output))


@couples(ops.Tile)
def tile(node: Node, c: Coupling) -> None:
    """Repetitions of an index go with it; those of an axis of size 1 are channels of their own."""
    op = node.op
    assert isinstance(op, ops.Tile)
    rows = []
    for axis, (labels, size) in enumerate(zip(c.all_axes(node.input(0)), node.output.shape, strict=True)):
        if isinstance(size, Batch):
            rows.append(labels)
        elif node.input(0).shape[axis] == 1 and size > 1:
            rows.append(c.atoms.fresh(size))
        else:
            rows.append(np.tile(labels, op.repeats[axis]))
    c.label(node.output, rows)


@shrinks(ops.Tile)
def tile_repeats(change: Change) -> Op:
    """Fewer repetitions of an axis of size 1."""
    op, x = change.op, change.old.input(0)
    assert isinstance(op, ops.Tile)
    repeats = tuple(
        len(change.kept(change.old.output, axis)) if x.shape[axis] == 1 and isinstance(size, int) else op.repeats[axis]
        for axis, size in enumerate(change.old.output.shape)
    )
    return op.with_(repeats=repeats)


@couples(ops.Pad)
def pad(node: Node, c: Coupling) -> None:
    """Added channels (shortcuts that widen by zeros) may go again; reflected or repeated ones stay, and so do positions."""
    op, x = node.op, node.input(0)
    assert isinstance(op, ops.Pad)
    rows = []
    for axis, (labels, (low, high)) in enumerate(zip(c.all_axes(x), op.pads, strict=True)):
        if not (low or high):
            rows.append(labels)
        elif op.mode == "constant" and min(low, high) >= 0 and (axis == 1 or c.has_free(labels)):
            rows.append(np.concatenate([c.atoms.fresh(low), labels, c.atoms.fresh(high)]))
        else:
            why = "positions around a padded axis stay"
            c.fix(labels, why)
            size = node.output.shape[axis]
            rows.append(c.stuck(size if isinstance(size, int) else 0, why))
    c.label(node.output, rows)


@shrinks(ops.Pad)
def pad_counts(change: Change) -> Op:
    """What is left of the added indices on either side."""
    op, x = change.op, change.old.input(0)
    assert isinstance(op, ops.Pad)
    pads = list(op.pads)
    for axis, (low, high) in enumerate(op.pads):
        if (low or high) and change.is_thinned(change.old.output, axis):
            kept, size = change.kept(change.old.output, axis), x.tensor_shape[axis]
            pads[axis] = (int((kept < low).sum()), int((kept >= low + size).sum()))
    return op.with_(pads=tuple(pads))


@couples(ops.Gather)
def gather(node: Node, c: Coupling) -> None:
    """A constant index picks channels; a computed one needs all of its axis. Other axes pass (an embedding's width)."""
    op, x, index = node.op, node.input(0), node.input(1)
    assert isinstance(op, ops.Gather)
    c.fix_axes(index, range(index.type.rank), "an index is not a channel")
    rows = c.all_axes(x)
    if index.is_constant and index.type.rank == 1 and isinstance(x.shape[op.axis], int):
        middle = [rows[op.axis][index.tensor.numpy(force=True)]]
    else:
        c.fix(rows[op.axis], "it is looked up by an index")
        middle = [c.stuck(d if isinstance(d, int) else 0, "it is looked up by an index") for d in index.shape]
    for axis in range(x.type.rank):
        if axis != op.axis:
            c.makes(x, axis)
    c.label(node.output, [*rows[: op.axis], *middle, *rows[op.axis + 1 :]])


@shrinks(ops.Gather)
def gather_index(change: Change) -> Op:
    """The same channels by their new indices."""
    op, x, index = change.op, change.old.input(0), change.old.input(1)
    assert isinstance(op, ops.Gather)
    if index.is_constant and change.is_thinned(x, op.axis):
        wanted = index.tensor.numpy(force=True)[change.kept(change.old.output, op.axis)]
        change.replace_constant(1, np.searchsorted(change.kept(x, op.axis), wanted))
    return op
