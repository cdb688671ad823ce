"""Sequences and optional values whose content is known while loading: each tensor of them is followed by itself."""

from __future__ import annotations

import torch

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.rows import Row
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops


@lowers("SequenceConstruct")
def sequence_construct(ctx: Lowering, *inputs: Operand) -> Result:
    """These tensors."""
    return Row(inputs)


@lowers("SequenceEmpty")
def sequence_empty(ctx: Lowering, *, dtype: int = 1) -> Result:
    """No tensor."""
    return Row()


@lowers("SequenceInsert")
def sequence_insert(ctx: Lowering, input_sequence: Row, tensor: Operand, position: Value | None = None) -> Result:
    """A tensor more, before ``position``; by default at the end."""
    items = list(_items(ctx, input_sequence))
    place = len(items) if position is None else _place(ctx, position, len(items), end=1)
    return Row((*items[:place], tensor, *items[place:]))


@lowers("SequenceErase")
def sequence_erase(ctx: Lowering, input_sequence: Row, position: Value | None = None) -> Result:
    """A tensor less; by default the last one."""
    items = list(_items(ctx, input_sequence))
    ctx.need(len(items) > 0, "takes a tensor out of an empty sequence")
    del items[-1 if position is None else _place(ctx, position, len(items))]
    return Row(tuple(items))


@lowers("SequenceAt")
def sequence_at(ctx: Lowering, input_sequence: Row, position: Value) -> Result:
    """One of the tensors."""
    items = _items(ctx, input_sequence)
    return items[_place(ctx, position, len(items))]


@lowers("SequenceLength")
def sequence_length(ctx: Lowering, input_sequence: Row) -> Result:
    """How many tensors."""
    return ctx.constant(torch.tensor(len(_items(ctx, input_sequence))), "length")


@lowers("SplitToSequence")
def split_to_sequence(ctx: Lowering, input: Value, split: Value | None = None, *, axis: int = 0, keepdims: int = 1) -> Result:
    """Parts of these sizes, of one size (the last may be shorter), or single elements."""
    place = ctx.axis(axis, input.type.rank)
    size = ctx.fixed(input, place)
    if split is not None and split.type.rank == 1:
        sizes = ctx.ints(split, "parts")
    else:
        part = 1 if split is None else ctx.ints(split, "parts")[0]
        ctx.need(part > 0, f"makes parts of {part}")
        sizes = [min(part, size - start) for start in range(0, size, part)]
    ctx.need(sum(sizes) == size and min(sizes, default=0) > 0, f"makes parts of {sizes} of {size} elements")
    ends = [sum(sizes[: count + 1]) for count in range(len(sizes))]
    parts = [ctx.slice(input, place, end - part, end) for part, end in zip(sizes, ends, strict=True)]
    if split is None and not keepdims:
        parts = [ctx.reshape(part, (*part.shape[:place], *part.shape[place + 1 :])) for part in parts]
    return Row(tuple(parts))


@lowers("ConcatFromSequence")
def concat_from_sequence(ctx: Lowering, input_sequence: Row, *, axis: int, new_axis: int = 0) -> Result:
    """All tensors one after the other, or side by side along a new axis."""
    values = [ctx.tensor(item) for item in _items(ctx, input_sequence)]
    ctx.need(len(values) > 0, "joins an empty sequence")
    place = ctx.axis(axis, values[0].type.rank + (new_axis == 1))
    if new_axis:
        values = [ctx.reshape(value, (*value.shape[:place], 1, *value.shape[place:])) for value in values]
    return values[0] if len(values) == 1 else ctx.add(ops.Concat(axis=place), *values)


@lowers("Optional")
def optional(ctx: Lowering, input: Operand | Row) -> Result:
    """The value itself: it is there."""
    return input


@lowers("OptionalGetElement")
def optional_get_element(ctx: Lowering, input: Operand | Row) -> Result:
    """The value."""
    return input


@lowers("OptionalHasElement")
def optional_has_element(ctx: Lowering, input: Operand | Row | None = None) -> Result:
    """Whether it is there."""
    return ctx.constant(torch.tensor(input is not None), "is_there")


def _items(ctx: Lowering, row: Row) -> tuple[Operand, ...]:
    ctx.need(isinstance(row, Row), "takes a tensor for a sequence")
    return row.items


def _place(ctx: Lowering, position: Value, count: int, end: int = 0) -> int:
    """A place among ``count``, and ``end`` more behind them; negative ones count from the last of the former."""
    (place,) = ctx.ints(position, "position")
    ctx.need(-count <= place < count + end, f"has the position {place} of {count}")
    return place + count if place < 0 else place
