"""Where the bytes of a .tflite file go, counted vector by vector; what several tensors share counts once."""

from __future__ import annotations

import struct

import numpy as np

from edgekit.errors import InputError
from edgekit.formats.description import SizeBreakdown
from edgekit.formats.tflite.flatbuffer import Damaged, File, Table
from edgekit.formats.tflite.tables import NUMPY_TYPES, Field, fields_of


def sizes(data: bytes) -> SizeBreakdown:
    """The four parts of a file's size.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return _sizes(File(data), len(data))
    except Damaged as error:
        raise InputError(f"this TensorFlow Lite file is damaged: {error}", hint="copy or download the file again") from error


def _sizes(file: File, total: int) -> SizeBreakdown:
    root = Table(file, "Model", file.follow(0))
    described = {table.integer("buffer") for table in root.tables("metadata")}
    weights: dict[int, int] = {}
    metadata: dict[int, int] = {}
    for index, buffer in enumerate(root.tables("buffers")):
        at, length = _content(buffer)
        (metadata if index in described else weights)[at] = length
    for name in ("metadata", "signature_defs"):
        for table in root.tables(name):
            _extents(table, metadata)
    quantization: dict[int, int] = {}
    for subgraph in root.tables("subgraphs"):
        for tensor in subgraph.tables("tensors"):
            if (parameters := tensor.table("quantization")) is not None:
                _extents(parameters, quantization)
    stored, scales, described_by = (sum(extents.values()) for extents in (weights, quantization, metadata))
    return SizeBreakdown(stored, scales, described_by, total - stored - scales - described_by)


def _content(buffer: Table) -> tuple[int, int]:
    """Place and length of a buffer's bytes, inside the flatbuffer or behind it."""
    offset, size = buffer.integer("offset"), buffer.integer("size")
    if offset > 1:
        return offset, size
    return _vector(buffer, "data", 1) if buffer.has("data") else (0, 0)


def _vector(table: Table, name: str, width: int) -> tuple[int, int]:
    _, at = table._find(name)
    start, length = table.file.vector(at, width)
    return start, length * width


def _extents(table: Table, found: dict[int, int]) -> None:
    """Adds place and length of the table and of all that it alone can reach; vtables are shared and stay structure."""
    if table.position in found:
        return
    found[table.position] = struct.unpack_from("<H", table.file.view, table._vtable + 2)[0]
    for field in fields_of(table.name).values():
        if not table.has(field.name) or (not field.vector and field.number):
            continue
        if field.number:
            start, length = _vector(table, field.name, np.dtype(NUMPY_TYPES[field.kind]).itemsize)
            found[start] = length + 4
        elif field.kind == "str" and not field.vector:
            start, length = _vector(table, field.name, 1)
            found[start] = length + 5  # the length before, the zero behind
        elif field.vector and field.kind != "str":
            _children(table, field, found)


def _children(table: Table, field: Field, found: dict[int, int]) -> None:
    start, length = _vector(table, field.name, 4)
    found[start] = length + 4
    for child in table.tables(field.name):
        _extents(child, found)
