"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import ops

_REDUCTIONS: dict[Op, type[ops.Op]] = {
    Op.MEAN: ops.Mean,
    Op.SUM: ops.Sum,
    Op.REDUCE_MAX: ops.Amax,
    Op.REDUCE_MIN: ops.Amin,
}


@lowers(*_REDUCTIONS)
def reduce(ctx: Lowering, x: Held, axes: Held | Sizes, *, keep_dims: bool = False) -> Result:
    """Over the axes wherever they stand in the value."""
    found = tuple(sorted({x.axis(axis) for axis in ctx.ints(axes, "axes")}))
    if not found:
        return Held(ctx.add(ops.Identity(), x.value), x.order)
    value = ctx.add(_REDUCTIONS[ctx.operator.code](axes=found, keepdim=keep_dims), x.value)  # type: ignore[call-arg]
    return Held(value, x.order if keep_dims else closed_up(x.order, found))


@lowers(Op.ARG_MAX, Op.ARG_MIN)
def arg_max(ctx: Lowering, x: Held, axis: Held | Sizes, *, output_type: int = 0) -> Result:
    """Index of the first largest (smallest) element, in the type that the file's result has."""
    place = x.axis(ctx.one(axis, "an axis"))
    kind = "int32" if ctx.tensors[ctx.operator.outputs[0]].type == TensorType.INT32 else "int64"
    value = ctx.add(ops.Neg(), x.value) if ctx.operator.code == Op.ARG_MIN else x.value
    return Held(ctx.add(ops.Argmax(place, dtype=kind), value), closed_up(x.order, (place,)))


@lowers(Op.CUMSUM)
def cumsum(ctx: Lowering, x: Held, axis: Held | Sizes, *, exclusive: bool = False, reverse: bool = False) -> Result:
    """Running sum; backwards between two reversals, exclusive without the element itself."""
    place = x.axis(ctx.one(axis, "an axis"))
    value = ctx.add(ops.Flip((place,)), x.value) if reverse else x.value
    total = ctx.add(ops.Cumsum(place), value)
    total = ctx.add(ops.Sub(), total, value) if exclusive else total
    return Held(ctx.add(ops.Flip((place,)), total) if reverse else total, x.order)


def closed_up(order: Sequence[int], gone: Sequence[int]) -> tuple[int, ...]:
    """The order of what is left of a value without the axes ``gone``."""
    kept = sorted(axis for axis in order if axis not in gone)
    return tuple(kept.index(axis) for axis in order if axis not in gone)
