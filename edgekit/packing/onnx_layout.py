"""The arrays of an ONNX file: the raw data of its initialisers, found by a walk over the protobuf alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from edgekit.packing.layout import Array

_GRAPH, _INITIALIZER = 7, 5  # ModelProto.graph, GraphProto.initializer
_DIMS, _TYPE, _FLOATS, _RAW = 1, 2, 4, 9  # TensorProto.dims, data_type, float_data, raw_data

#: TensorProto.DataType -> bits of an element.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16, 21: 4, 22: 4}


def onnx_arrays(data: bytes) -> list[Array]:
    """See ``layout.arrays_of``. Of bytes that are no protobuf it returns what looked like one so far."""
    found: list[Array] = []
    for field, start, end in _fields(data, 0, len(data)):
        if field == _GRAPH:
            for inner, first, last in _fields(data, start, end):
                if inner == _INITIALIZER and (array := _tensor(data, first, last)) is not None:
                    found.append(replace(array, name=str(len(found))))
    return found


def _tensor(data: bytes, start: int, end: int) -> Array | None:
    shape: list[int] = []
    kind, place = 0, (0, 0)
    for field, first, last in _fields(data, start, end):
        if field == _DIMS and first < last:
            at = first
            while at < last:
                size, at = _varint(data, at, last)
                shape.append(size)
        elif field == _TYPE:
            kind = _varint(data, first, last)[0]
        elif field in (_RAW, _FLOATS):
            place = (first, last)
    size, bits = place[1] - place[0], _BITS.get(kind, 0)
    if not bits or not size or prod(shape or [1]) * bits != 8 * size:
        return None
    vector = len(shape) < 2 or prod(shape) == max(shape)
    if len(shape) == 3 and shape[0] <= 2:  # of a recurrence: (directions, rows of all gates, columns)
        shape = [shape[0] * shape[1], shape[2]]
    columns = max(prod(shape[1:]), 1) if len(shape) > 1 else max(prod(shape), 1)
    period = shape[-1] if len(shape) > 2 else 0
    return Array(place[0], size, bits, columns, period, "biases" if vector else "weights")


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first byte and end of each field; ends early where the bytes are no protobuf."""
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == 0:
            start, (_, at) = at, _varint(data, at, end)
        elif kind == 2:
            size, start = _varint(data, at, end)
            at = start + size
        elif kind in (1, 5):
            start, at = at, at + (8 if kind == 1 else 4)
        else:
            return
        if at > end or not tag >> 3:
            return
        yield tag >> 3, start, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number and where it ends: behind ``end`` where it is cut off."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    return 0, end + 1
