"""Bounds-checked access to the tables of a flatbuffer that may be damaged or hostile.

The generated readers trust their file: a wrong offset reads from the wrong end, a wrong length loops for hours. Here
every access is checked against the file, and all work together is limited by a budget that grows with the file's size,
so that tables which name each other a million times end in an error.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.tflite.tables import NUMPY_TYPES, SCALAR_FORMATS, Field, fields_of


class Damaged(ValueError):
    """The bytes are not a flatbuffer of this schema; the message says what is wrong."""


class File:
    """The bytes of a file, with checked reads and a budget of work."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.view = memoryview(data).toreadonly().cast("B")
        self._budget = 1_000 + 16 * len(self.view)

    def spend(self, amount: int) -> None:
        """Count ``amount`` units of work.

        Raises:
            Damaged: the file asks for more work than a sound file of its size can.
        """
        self._budget -= amount
        if self._budget < 0:
            raise Damaged("its tables refer to each other without end")

    def number(self, format: str, at: int) -> int | float | bool:
        """One little-endian number at a byte position."""
        if at < 0 or at + struct.calcsize(format) > len(self.view):
            raise Damaged(f"an offset points outside the file ({at} of {len(self.view)} bytes)")
        (value,) = struct.unpack_from(format, self.view, at)
        return value  # type: ignore[no-any-return]  # struct's result has no static type

    def follow(self, at: int) -> int:
        """The position that the forward offset stored at ``at`` points to."""
        return at + int(self.number("<I", at))

    def vector(self, at: int, width: int) -> tuple[int, int]:
        """The first byte and the length of the vector that the offset at ``at`` points to."""
        start = self.follow(at)
        length = int(self.number("<I", start))
        if start + 4 + length * width > len(self.view):
            raise Damaged(f"a vector of {length} elements reaches past the end of the file")
        return start + 4, length

    def text(self, at: int) -> str:
        """The string that the offset at ``at`` points to; bytes that are not UTF-8 are replaced."""
        start, length = self.vector(at, 1)
        self.spend(length)
        return str(self.view[start : start + length], "utf-8", "replace")


class Table:
    """A table of the schema at a position of a file."""

    __slots__ = ("_fields", "_vtable", "_vtable_size", "file", "name", "position")

    def __init__(self, file: File, name: str, position: int) -> None:
        file.spend(8)
        self.file = file
        self.name = name
        self.position = position
        self._fields = fields_of(name)
        self._vtable = position - int(file.number("<i", position))
        self._vtable_size = int(file.number("<H", self._vtable))

    def _find(self, name: str) -> tuple[Field, int]:
        """The field and the position of its value, 0 where it is not stored."""
        field = self._fields[name]
        entry = 4 + 2 * field.slot
        if entry + 2 > self._vtable_size:
            return field, 0
        offset = int(self.file.number("<H", self._vtable + entry))
        return field, self.position + offset if offset else 0

    def has(self, name: str) -> bool:
        """Whether the field is stored."""
        return bool(self._find(name)[1])

    def scalar(self, name: str) -> int | float | bool:
        """A scalar field, its default where it is not stored."""
        field, at = self._find(name)
        if not at:
            return bool(field.default) if field.kind == "bool" else field.default
        return self.file.number(SCALAR_FORMATS[field.kind], at)

    def integer(self, name: str) -> int:
        """A scalar field that is an integer."""
        return int(self.scalar(name))

    def string(self, name: str) -> str:
        """A string field, empty where it is not stored."""
        _, at = self._find(name)
        return self.file.text(at) if at else ""

    def array(self, name: str) -> NDArray[np.generic] | None:
        """A vector of scalars as a view of the file, None where it is not stored."""
        field, at = self._find(name)
        if not at:
            return None
        dtype = np.dtype(NUMPY_TYPES[field.kind])
        start, length = self.file.vector(at, dtype.itemsize)
        return np.frombuffer(self.file.view, dtype, length, start)

    def numbers(self, name: str) -> tuple[int, ...]:
        """A vector of integers, empty where it is not stored."""
        return tuple(int(value) for value in self.values(name))

    def values(self, name: str) -> tuple[float, ...]:
        """A vector of numbers of any scalar type, empty where it is not stored."""
        values = self.array(name)
        if values is None:
            return ()
        self.file.spend(len(values))
        return tuple(values.tolist())

    def raw(self, name: str) -> memoryview | None:
        """A vector of bytes as a view of the file, None where it is not stored."""
        _, at = self._find(name)
        if not at:
            return None
        start, length = self.file.vector(at, 1)
        return self.file.view[start : start + length]

    def table(self, name: str, kind: str | None = None) -> Table | None:
        """A table field (``kind`` names the type of a union), None where it is not stored."""
        field, at = self._find(name)
        return Table(self.file, kind or field.kind, self.file.follow(at)) if at else None

    def tables(self, name: str) -> list[Table]:
        """A vector of tables, empty where it is not stored."""
        field, at = self._find(name)
        if not at:
            return []
        start, length = self.file.vector(at, 4)
        self.file.spend(length)
        return [Table(self.file, field.kind, self.file.follow(start + 4 * i)) for i in range(length)]

    def strings(self, name: str) -> tuple[str, ...]:
        """A vector of strings, empty where it is not stored."""
        _, at = self._find(name)
        if not at:
            return ()
        start, length = self.file.vector(at, 4)
        self.file.spend(length)
        return tuple(self.file.text(start + 4 * i) for i in range(length))
