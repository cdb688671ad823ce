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
    # Where parts of several axes run along one physical axis, the array broadcasts along all of them or along none.
    together = [{part.axis for part in row} for row in form.axes]
    whole = {axis for axis in range(rank) if array.shape[axis] != 1}
    while grown := {axis for axes in together if axes & whole for axis in axes} - whole:
        whole |= grown
    array = np.broadcast_to(array, [form.shape[a] if a in whole else array.shape[a] for a in range(rank)])
    parts = sorted({part for row in form.axes for part in row}, key=lambda part: (part.axis, -part.stride))
    places = {part: place for place, part in enumerate(parts)}
    divided = array.reshape([part.size if array.shape[part.axis] != 1 else 1 for part in parts])
    moved = divided.transpose([places[part] for row in form.axes for part in row])
    sizes = iter(moved.shape)
    physical = [prod(next(sizes) for _ in row) for row in form.axes]
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
