"""Concat, split and slices, where indices move by offsets, and the choice between exits."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import BATCH, Coupling
from edgekit.compress.prune.coupling.elementwise import joined_axes
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Batch, Node, ops
from edgekit.ir.ops import Op


@couples(ops.Concat)
def concat(node: Node, c: Coupling) -> None:
    """Along the axis one behind the other, whatever they are; the other axes go together."""
    axis = node.op.axis  # type: ignore[attr-defined]
    values = [v for v in node.inputs if v is not None]
    rows = [
        np.concatenate([c.axis(v, axis) for v in values])
        if i == axis and not isinstance(size, Batch)
        else joined_axes([(v, i + 1) for v in values], (*[1] * i, size), c)[-1]
        for i, size in enumerate(node.output.shape)
    ]
    c.label(node.output, rows)


@couples(ops.ChooseExit)
def choose_exit(node: Node, c: Coupling) -> None:
    """How sure an exit is depends on every class: all stay, for all exits alike."""
    values = [v for v in node.inputs if v is not None]
    for value in values:
        c.fix(c.axis(value, 1), "what comes out depends on every class")
    c.label(node.output, joined_axes([(v, v.type.rank) for v in values], node.output.shape, c))


@couples(ops.Split)
def split(node: Node, c: Coupling) -> None:
    """Each part has its own stretch of the axis."""
    op, x = node.op, node.input(0)
    assert isinstance(op, ops.Split)
    rows, start = c.all_axes(x), 0
    for output, size in zip(node.outputs, op.sizes, strict=True):
        part = list(rows)
        part[op.axis] = rows[op.axis][start : start + size]
        start += size
        c.label(output, part)


@shrinks(ops.Split)
def split_sizes(change: Change) -> Op:
    """What is left of each part."""
    op = change.op
    assert isinstance(op, ops.Split)
    return op.with_(sizes=tuple(len(change.kept(output, op.axis)) for output in change.old.outputs))


@couples(ops.Slice)
def slice_(node: Node, c: Coupling) -> None:
    """A stretch of every axis, with steps."""
    op = node.op
    assert isinstance(op, ops.Slice)
    rows = []
    for labels, start, stop, step in zip(c.all_axes(node.input(0)), op.starts, op.stops, op.steps, strict=True):
        rows.append(BATCH if isinstance(stop, Batch) or not len(labels) else labels[start:stop:step])
    c.label(node.output, rows)


@shrinks(ops.Slice)
def slice_bounds(change: Change) -> Op:
    """New bounds; where what is left of the picked indices is no longer evenly spaced, a gather picks them."""
    op, x = change.op, change.old.input(0)
    assert isinstance(op, ops.Slice)
    starts, stops, steps = list(op.starts), list(op.stops), list(op.steps)
    for axis, size in enumerate(x.shape):
        stop = stops[axis]
        if isinstance(size, Batch) or isinstance(stop, Batch) or not change.is_thinned(x, axis):
            continue
        kept = change.kept(x, axis)
        picked = np.flatnonzero(np.isin(kept, np.arange(starts[axis], stop, steps[axis])))
        gaps = np.unique(np.diff(picked))
        if len(gaps) <= 1:
            starts[axis], stops[axis] = int(picked[0]), int(picked[-1]) + 1
            steps[axis] = int(gaps[0]) if len(gaps) else 1
        else:
            change.gather_first(axis, picked)
            starts[axis], stops[axis], steps[axis] = 0, len(picked), 1
    return op.with_(starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
