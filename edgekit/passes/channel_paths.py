"""How one axis passes through ops that only move, join or scale: where a channel of the input is in the output."""

from __future__ import annotations

from math import prod

from edgekit.ir import Node, Value, ops

_POINTWISE = (ops.Identity, ops.Dropout)


#: A batch that no other size is likely to be, nor a multiple of.
_BATCH = 99_991


def sizes(value: Value) -> tuple[int, ...]:
    """The shape as numbers, in which what depends on the batch stands out."""
    return value.type.at(_BATCH)


def moved(node: Node, index: int, axis: int) -> int | None:
    """The axis of the outputs that holds the channels of ``axis`` of input ``index``, all of them and in their order.

    None where the op does anything else with them. Of several outputs, all have the same axis. Every other position of an
    output holds numbers of one position of the input, unchanged.
    """
    value = node.inputs[index]
    assert value is not None
    op, shape = node.op, sizes(value)
    if isinstance(op, _POINTWISE):
        return axis
    if isinstance(op, ops.Permute):
        return op.dims.index(axis)
    if isinstance(op, ops.Reshape):
        return _through_reshape(shape, sizes(node.output), axis)
    if isinstance(op, ops.Slice):
        whole = op.steps[axis] == 1 and sizes(node.output)[axis] == shape[axis]
        return axis if whole else None
    if isinstance(op, ops.Split | ops.Concat):
        return axis if op.axis != axis else None
    if isinstance(op, ops.Roll | ops.Flip):
        return axis if axis not in op.axes else None
    if isinstance(op, ops.Expand):
        place = axis + node.output.type.rank - len(shape)
        return place if sizes(node.output)[place] == shape[axis] > 1 else None
    if isinstance(op, ops.Gather) and index == 0 and axis != op.axis:
        return axis if axis < op.axis else axis + node.input(1).type.rank - 1
    return None


def _through_reshape(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> int | None:
    """The axis with as many elements before it and as many in it."""
    wanted = prod(before[:axis])
    places = [place for place, size in enumerate(after) if size == before[axis] > 1 and prod(after[:place]) == wanted]
    return places[0] if places else None
