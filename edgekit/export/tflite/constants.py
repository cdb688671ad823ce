"""Constants of the graph in the arrangement and type that the file holds them in."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from edgekit.export.tflite.element_types import tensor_type, to_numpy
from edgekit.export.tflite.layout.form import Form, Part
from edgekit.ir import Value
from edgekit.ir.quantized_data import quantize_constant


def values_of(value: Value) -> NDArray[np.generic]:
    """What the file holds of a constant, in the source's order of axes: integers where it is quantised.

    Raises:
        Unsupported: TFLite's kernels do not compute with its type, or its values do not fit the integers.
    """
    tensor_type(value.type.dtype, value.quant)
    if value.quant is None:
        return to_numpy(value.tensor)
    return to_numpy(quantize_constant(value.tensor, value.quant))


def arrange(array: NDArray[np.generic], form: Form) -> NDArray[np.generic]:
    """An array that broadcasts to a value's shape, arranged to broadcast to the value's physical shape in ``form``.

    Leading dimensions of size 1 are dropped, so a single number is a scalar.
    """
    rank = len(form.shape)
    array = array.reshape((*[1] * (rank - array.ndim), *array.shape))
    parts = sorted({part for axis in form.axes for part in axis}, key=lambda part: (part.axis, -part.stride))
    split: list[int] = []
    places: dict[Part, int] = {}
    for axis in range(rank):
        own = [part for part in parts if part.axis == axis]
        for part in own:
            places[part] = len(split)
            split.append(part.size if array.shape[axis] != 1 else 1)
        if not own:
            assert array.shape[axis] == 1
    divided = array.reshape(split)
    moved = divided.transpose([places[part] for axis in form.axes for part in axis])
    sizes = iter(moved.shape)
    physical = [prod(next(sizes) for _ in axis) for axis in form.axes]
    while physical and physical[0] == 1:
        physical.pop(0)
    return moved.reshape(physical)


def order_of(parts: tuple[Part, ...], size: int) -> NDArray[np.int64]:
    """For each place along a physical axis the index of the logical axis that stands there."""
    index = np.zeros(1, np.int64)
    for part in parts:
        index = (index[:, None] + np.arange(part.size) * part.stride).reshape(-1)
    assert len(index) == size
    return index


def order_along(form: Form, axis: int) -> NDArray[np.int64]:
    """For each place in physical order the index of a logical axis that stands there, whatever else runs around it."""
    return order_of(tuple(part for row in form.axes for part in row if part.axis == axis), form.shape[axis])
