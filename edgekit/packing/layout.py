"""Where the arrays of a file stand, by the file's own format. What is found is a hint: any file packs, found or not."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from edgekit.errors import InputError

#: Arrays of fewer bytes stay part of the text around them.
LEAST = 32


@dataclass(frozen=True)
class Array:
    """Numbers that stand together in a file.

    Attributes:
        start: their first byte.
        size: in bytes.
        bits: of an element: 2, 4, 8, 16, 32 or 64.
        columns: elements that one output of the layer reads: what a row is.
        period: how far apart in a row the neighbours in the other direction are; 0 where nothing tells.
        role: what they are: "weights", "biases", "scales" or "zeros".
        name: what tells it from the others of its file, the same in files of the same network.
        scales: the first byte of the scales of these numbers; -1 where they have none each.
    """

    start: int
    size: int
    bits: int
    columns: int
    period: int = 0
    role: str = "weights"
    name: str = ""
    scales: int = -1


def arrays_of(data: bytes, *, all_of_them: bool = False) -> list[Array]:
    """The arrays of a TFLite or ONNX file, in order and apart from each other; none for other bytes or a damaged file.

    Args:
        data: the file.
        all_of_them: also zero points, and what is so short that it is cheaper as text.
    """
    found: list[Array] = []
    with contextlib.suppress(InputError):
        if data[4:8] == b"TFL3":
            from edgekit.packing.tflite_layout import tflite_arrays

            found = tflite_arrays(data, all_of_them=all_of_them)
        else:
            from edgekit.packing.onnx_layout import onnx_arrays

            found = onnx_arrays(data)
    apart: list[Array] = []
    end = 0
    least = 1 if all_of_them else LEAST
    for array in sorted(found, key=lambda a: (a.start, -a.size)):
        if array.start >= end and array.size >= least and array.start + array.size <= len(data):
            apart.append(array)
            end = array.start + array.size
    return apart
