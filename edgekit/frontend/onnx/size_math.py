"""Operators on sizes that hold the batch: the part of ONNX in which exporters compute shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, prod
from typing import Any

import numpy as np

from edgekit.frontend import batch_math
from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.element_types import TORCH
from edgekit.frontend.onnx.sizes import Array, Sizes, elementwise, objects
from edgekit.ir.types import Batch

_Function = Callable[..., Array | tuple[Array, ...]]

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": batch_math.add,
    "Sub": batch_math.subtract,
    "Mul": batch_math.multiply,
    "Div": batch_math.divide,
    "Equal": batch_math.equal,
    "Less": batch_math.less,
    "Greater": batch_math.greater,
    "Max": batch_math.largest,
    "Min": batch_math.smallest,
    "Where": lambda condition, a, b: a if condition else b,
    "Floor": lambda a: a if isinstance(a, Batch) else floor(a),
    "Ceil": lambda a: a if isinstance(a, Batch) else ceil(a),
    "Identity": lambda a: a,
}


def on_sizes(
    ctx: Lowering, inputs: Sequence[Operand | None], attributes: dict[str, Any]
) -> Operand | tuple[Operand, ...] | None:
    """The result of an operator of which an input holds the batch and all others are known; None where it is no such one.

    Raises:
        BatchInNumber: the result would be no size.
    """
    if not any(isinstance(x, Sizes) for x in inputs) or not _is_known(inputs):
        return None
    function = _FUNCTIONS.get(ctx.op_name)
    if ctx.op_name in _ELEMENTWISE:
        count = prod(np.broadcast_shapes(*(array.shape for array in _arrays(ctx, inputs))))
        ctx.claim(64 * count)
        result: Array | tuple[Array, ...] = elementwise(_ELEMENTWISE[ctx.op_name], *_arrays(ctx, inputs))
    elif (function is not None and isinstance(inputs[0], Sizes)) or (function is not None and ctx.op_name in ("Concat",)):
        result = function(ctx, *_arrays(ctx, inputs), **attributes)
    else:
        return None
    first = next(x for x in inputs if isinstance(x, Sizes))
    dtype = TORCH.get(attributes.get("to", 0), first.dtype) if ctx.op_name == "Cast" else first.dtype
    if isinstance(result, tuple):
        return tuple(ctx.data(part, dtype) for part in result)
    return ctx.data(result, dtype)


def _is_known(inputs: Sequence[Operand | None]) -> bool:
    return all(x is None or isinstance(x, Sizes) or x.is_constant for x in inputs)


def _arrays(ctx: Lowering, inputs: Sequence[Operand | None]) -> list[Array]:
    return [ctx.array(x, "sizes") for x in inputs if x is not None]


def _ints(array: Array | Sequence[int] | None) -> list[int]:
    if array is None:
        return []
    flat = array.reshape(-1).tolist() if isinstance(array, np.ndarray) else list(array)
    if any(isinstance(item, Batch) for item in flat):
        raise batch_math.BatchInNumber
    return [int(item) for item in flat]


def _cast(ctx: Lowering, x: Array, *, to: int, **_: Any) -> Array:
    whole = not TORCH[to].is_floating_point if to in TORCH else True
    return elementwise(lambda a: a if isinstance(a, Batch) else int(a) if whole else float(a), x)


def _gather(ctx: Lowering, x: Array, index: Array, *, axis: int = 0) -> Array:
    return _array(np.take(x, np.asarray(index.tolist(), np.int64), axis=axis))


def _slice(
    ctx: Lowering,
    x: Array,
    starts: Array | Sequence[int],
    ends: Array | Sequence[int],
    axes: Array | Sequence[int] | None = None,
    steps: Array | Sequence[int] | None = None,
) -> Array:
    first, last = _ints(starts), _ints(ends)
    cut = [slice(None)] * x.ndim
    for axis, a, b, step in zip(_ints(axes) or range(len(first)), first, last, _ints(steps) or [1] * len(first), strict=True):
        size = x.shape[axis]
        cut[axis] = slice(a, None if step < 0 and b < -size else b, step)
    return x[tuple(cut)]


def _concat(ctx: Lowering, *xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis)


def _unsqueeze(ctx: Lowering, x: Array, axes: Array | Sequence[int]) -> Array:
    return np.expand_dims(x, tuple(_ints(axes)))


def _squeeze(ctx: Lowering, x: Array, axes: Array | Sequence[int] | None = None) -> Array:
    return _array(np.squeeze(x, tuple(_ints(axes)) or None))


def _reshape(ctx: Lowering, x: Array, shape: Array | Sequence[int], *, allowzero: int = 0) -> Array:
    return x.reshape(_ints(shape))


def _split(
    ctx: Lowering, x: Array, split: Array | Sequence[int] | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Array, ...]:
    count = len(ctx.node.output)
    parts = _ints(split) or [-(-x.shape[axis] // count)] * count
    return tuple(np.split(x, np.cumsum(parts)[:-1], axis))


def _reduce_prod(
    ctx: Lowering,
    x: Array,
    axes: Array | Sequence[int] | None = None,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    product: Any = 1
    for item in x.reshape(-1):
        product = batch_math.multiply(product, item)
    return objects([product], (1,) * x.ndim if keepdims else ())


def _array(x: Any) -> Array:
    """numpy gives the element itself where no dimension is left."""
    return x if isinstance(x, np.ndarray) else objects([x], ())


_FUNCTIONS: dict[str, _Function] = {
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Split": _split,
    "ReduceProd": _reduce_prod,
}
