"""Arithmetic on sizes that are known while a file is read: numbers and multiples of the batch.

A model that was converted with an open batch computes its shapes as it runs: SHAPE, STRIDED_SLICE, PACK, RESHAPE. Here they
are computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend import batch_math
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes
from edgekit.ir.types import Dim

_Array = NDArray[np.object_]


def of_dims(dims: list[Dim] | tuple[Dim, ...]) -> _Array:
    """Dimensions as an array of objects."""
    out = np.empty(len(dims), object)
    out[:] = list(dims)
    return out


def fold(ctx: Lowering, inputs: list[Held | Sizes | None], options: dict[str, Any]) -> Sizes | tuple[Sizes, ...] | None:
    """The result of an operator on sizes; None where one of its inputs is known only while the model runs."""
    arrays: list[_Array] = []
    for x in inputs:
        if isinstance(x, Sizes):
            arrays.append(x.array)
        elif x is not None and ctx.is_known(x.value) and not x.value.type.is_float:
            arrays.append(ctx.plain(x).tensor.numpy().astype(object))
        else:
            return None
    made = FOLDS[ctx.operator.code](arrays, options)
    return tuple(Sizes(a) for a in made) if isinstance(made, list) else Sizes(made)


def _elementwise(function: Callable[[Any, Any], Dim]) -> Callable[[list[_Array], dict[str, Any]], _Array]:
    table = np.frompyfunc(function, 2, 1)
    return lambda arrays, options: np.asarray(table(arrays[0], arrays[1]), object)


def _product(arrays: list[_Array], options: dict[str, Any]) -> _Array:
    total: Dim = 1
    for size in arrays[0].reshape(-1):
        total = batch_math.multiply(total, size)
    return np.array([total] if options.get("keep_dims") else total, object)


def _strided(arrays: list[_Array], options: dict[str, Any]) -> _Array:
    x, begin, end, step = arrays
    (start,), (stop,), (stride,) = begin.tolist(), end.tolist(), step.tolist()
    if x.ndim != 1 or options.get("ellipsis_mask") or options.get("new_axis_mask"):
        raise ValueError("a slice of sizes in more than one dimension")
    if options.get("shrink_axis_mask"):
        return np.array(x[start], object)
    return x[slice(None if options.get("begin_mask") else start, None if options.get("end_mask") else stop, stride)]


def _slice(arrays: list[_Array], options: dict[str, Any]) -> _Array:
    (start,), (count,) = arrays[1].tolist(), arrays[2].tolist()
    return arrays[0][start:] if count == -1 else arrays[0][start : start + count]


def _squeeze(arrays: list[_Array], options: dict[str, Any]) -> _Array:
    return arrays[0].reshape([size for size in arrays[0].shape if size != 1])


def _concatenate(arrays: list[_Array], options: dict[str, Any]) -> _Array:
    return np.concatenate(arrays, int(options.get("axis", 0)))


#: Operators that work on sizes; everything comes as arrays of objects.
FOLDS: dict[Op, Callable[[list[_Array], dict[str, Any]], _Array | list[_Array]]] = {
    Op.STRIDED_SLICE: _strided,
    Op.SLICE: _slice,
    Op.GATHER: lambda arrays, options: np.asarray(arrays[0][arrays[1].astype(np.int64)], object),
    Op.PACK: lambda arrays, options: np.stack(arrays, int(options.get("axis", 0))),
    Op.UNPACK: lambda arrays, options: [np.array(size, object) for size in arrays[0]],
    Op.CONCATENATION: _concatenate,
    Op.CAST: lambda arrays, options: arrays[0],
    Op.SQUEEZE: _squeeze,
    Op.EXPAND_DIMS: lambda arrays, options: arrays[0].reshape(-1),
    Op.RESHAPE: lambda arrays, options: arrays[0].reshape([int(size) for size in arrays[1].reshape(-1)]),
    Op.REDUCE_PROD: _product,
    Op.ADD: _elementwise(batch_math.add),
    Op.SUB: _elementwise(batch_math.subtract),
    Op.MUL: _elementwise(batch_math.multiply),
    Op.DIV: _elementwise(batch_math.divide),
    Op.FLOOR_DIV: _elementwise(batch_math.floor_divide),
    Op.MAXIMUM: _elementwise(batch_math.largest),
    Op.MINIMUM: _elementwise(batch_math.smallest),
}
