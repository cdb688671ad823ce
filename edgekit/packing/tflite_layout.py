"""The arrays of a TFLite file: constants of its tensors, and the scales of those quantised along an axis."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.tflite.model import NUMPY_OF, Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.packing.layout import Array

_BITS = {TensorType.INT4: 4, TensorType.UINT4: 4, TensorType.INT2: 2, TensorType.BFLOAT16: 16}


def tflite_arrays(data: bytes, *, all_of_them: bool = False) -> list[Array]:
    """See ``layout.arrays_of``; they may overlap.

    Raises:
        InputError: the file is damaged.
    """
    origin = _address(np.frombuffer(data, np.uint8))
    model = read(data)
    found: list[Array] = []
    for graph_number, graph in enumerate(model.subgraphs):
        for number, tensor in enumerate(graph.tensors):
            name, quantization = f"{graph_number}.{number}", tensor.quantization
            along = quantization is not None and (len(quantization.scale) > 1 or (all_of_them and tensor.data is not None))
            scales = -1
            if quantization is not None and along:
                scale, zeros = quantization.scale, quantization.zero_point
                scales = _address(scale) - origin
                found.append(Array(scales, scale.nbytes, 32, scale.size, 0, "scales", f"{name}.scales"))
                if all_of_them:
                    found.append(Array(_address(zeros) - origin, zeros.nbytes, 64, zeros.size, 0, "zeros", f"{name}.zeros"))
            if tensor.data is not None and (array := _constant(tensor, origin)) is not None:
                found.append(replace(array, name=name, scales=scales))
    return [array for array in found if 0 <= array.start <= len(data) - array.size]


def _constant(tensor: Tensor, origin: int) -> Array | None:
    bits = _BITS.get(tensor.type) or (8 * NUMPY_OF[tensor.type].itemsize if tensor.type in NUMPY_OF else 0)
    content = np.frombuffer(tensor.data or b"", np.uint8)
    if bits not in (2, 4, 8, 16, 32, 64) or not content.size or (bits >= 8 and content.size % (bits // 8)):
        return None
    columns, period = rows_of(tensor.shape)
    vector = len(tensor.shape) < 2 or prod(tensor.shape) == max(tensor.shape)
    return Array(_address(content) - origin, content.size, bits, columns, period, "biases" if vector else "weights")


def rows_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Columns and period of weights that are stored output first, channels last: (O, I) or (O, H, W, I)."""
    if len(shape) < 2:
        return max(prod(shape), 1), 0
    if shape[0] == 1:  # depthwise: (1, H, W, O)
        return max(shape[-1], 1), 1
    return max(prod(shape[1:]), 1), shape[-1] if len(shape) > 2 else 0


def _address(array: NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])
