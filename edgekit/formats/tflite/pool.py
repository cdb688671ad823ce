"""Flatbuffer objects, each distinct one once, laid out tightly.

In a flatbuffer any number of tables may point at one vector, string or table. A converter that writes every tensor's
shape, scales and zero points separately repeats the same bytes dozens of times; the object API of the generated schema
can do nothing else. The pool keeps one object per content, whoever asks for it, and lays the file out only when all are
known, so that small vectors can stand in the gaps that the alignment of the weights leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NewType

import flatbuffers
import numpy as np

from edgekit.formats.tflite.tables import NUMPY_TYPES, SCALAR_FORMATS, Field, fields_of, slot_count

#: An object of the pool. Objects are numbered in the order of their creation, so what one refers to has a lower number.
Ref = NewType("Ref", int)


@dataclass(frozen=True)
class _Vector:
    """Scalars or bytes, with the alignment of the first element."""

    data: bytes
    count: int
    width: int
    align: int
    by_channel: bool = False  # one number for each channel: its length is a width
    text: bool = False  # strings end with a zero that is not counted

    @property
    def size(self) -> int:
        return 4 + len(self.data) + self.text


@dataclass(frozen=True)
class _References:
    """A vector of tables or strings."""

    refs: tuple[Ref, ...]


@dataclass(frozen=True)
class _Table:
    """A table: (slot, value) for numbers, (slot, Ref) for the rest, in the order of writing."""

    slots: int
    numbers: tuple[tuple[int, str, float], ...]
    refs: tuple[tuple[int, Ref], ...]


class Pool:
    """Collects the objects of one file and writes them."""

    def __init__(self, *, regular: bool = False) -> None:
        """An empty pool.

        Args:
            regular: objects stand in an order that sizes do not change, shapes are stored for each tensor, and gaps before
                weights stay empty: files of networks that differ in widths alone then have most of their offsets in common.
        """
        self.regular = regular
        self._objects: list[_Vector | _References | _Table] = []
        self._refs: dict[_Vector | _References | _Table, Ref] = {}

    def _intern(self, item: _Vector | _References | _Table) -> Ref:
        ref = self._refs.get(item)
        if ref is None:
            ref = self._refs[item] = Ref(len(self._objects))
            self._objects.append(item)
        return ref

    def vector(self, kind: str, values: Iterable[float] | np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Ref:
        """A vector of numbers of a scalar type of the schema (``i32``)."""
        array = np.ascontiguousarray(values if isinstance(values, np.ndarray) else list(values), NUMPY_TYPES[kind])
        by_channel = self.regular and kind in ("f32", "i64") and array.size > 1
        return self._intern(_Vector(array.tobytes(), array.size, array.itemsize, array.itemsize, by_channel))

    def shape(self, values: Iterable[int]) -> Ref:
        """A vector of 32-bit integers; in a regular layout one of its own, because shapes that are equal at one width differ
        at another.
        """
        if not self.regular:
            return self.vector("i32", values)
        array = np.array(list(values), NUMPY_TYPES["i32"])
        self._objects.append(_Vector(array.tobytes(), array.size, array.itemsize, array.itemsize))
        return Ref(len(self._objects) - 1)

    def blob(self, data: bytes | memoryview, align: int) -> Ref:
        """A vector of bytes whose first byte stands at a multiple of ``align``."""
        return self._intern(_Vector(bytes(data), len(data), 1, align))

    def string(self, text: str) -> Ref:
        """A string."""
        data = text.encode()
        return self._intern(_Vector(data, len(data), 1, 1, text=True))

    def references(self, refs: Iterable[Ref]) -> Ref:
        """A vector of tables or strings."""
        return self._intern(_References(tuple(refs)))

    def table(self, name: str, numbers: Mapping[str, float] | None = None, refs: Mapping[str, Ref] | None = None) -> Ref:
        """A table. Numbers that equal their default are not stored.

        Raises:
            KeyError: the schema has no such table or field.
        """
        fields = fields_of(name)
        stored = [(fields[key], value) for key, value in (numbers or {}).items() if value != fields[key].default]
        stored.sort(key=lambda item: (-_width(item[0]), item[0].slot))
        return self._intern(
            _Table(
                slot_count(name),
                tuple((field.slot, field.kind, value) for field, value in stored),
                tuple(sorted((fields[key].slot, ref) for key, ref in (refs or {}).items())),
            )
        )

    def finish(self, root: Ref, identifier: bytes) -> bytes:
        """The file with ``root`` as its root table. The same calls give the same bytes."""
        return _Layout(self._objects, self.regular).run(root, identifier)


def _width(field: Field) -> int:
    return struct.calcsize(SCALAR_FORMATS[field.kind])


class _Layout:
    """Writes objects back to front: the first one written is the last one in the file."""

    def __init__(self, objects: list[_Vector | _References | _Table], regular: bool) -> None:
        self._objects = objects
        self._regular = regular
        self._offsets: dict[int, int] = {}
        vectors = [(ref, item) for ref, item in enumerate(objects) if isinstance(item, _Vector)]
        self._aligned = [(ref, item) for ref, item in vectors if item.align > 8]
        self._small = {ref: item for ref, item in vectors if item.align <= 8}
        self._fillers = {ref: item for ref, item in self._small.items() if item.align <= 4 and not item.text}
        self._builder = flatbuffers.Builder(1024 + 2 * sum(item.size for _, item in vectors))

    def run(self, root: Ref, identifier: bytes) -> bytes:
        for ref, item in self._aligned:
            self._fill_gap(item)
            self._write_vector(ref, item)
        # Wide elements first: what follows needs less alignment than what is already there.
        for ref in sorted(self._small, key=self._turn):
            if ref in self._small:
                item = self._small.pop(ref)
                self._fill_gap(item)
                self._write_vector(ref, item)
        for ref, entry in enumerate(self._objects):
            if isinstance(entry, _References):
                self._write_references(ref, entry)
            elif isinstance(entry, _Table):
                self._write_table(ref, entry)
        self._builder.Finish(self._offsets[root], file_identifier=identifier)
        return bytes(self._builder.Output())

    def _turn(self, ref: int) -> tuple[int, bool]:
        """What is sorted by; in a regular layout vectors whose length no width changes stand next to the tables."""
        item = self._small[ref]
        return -item.align, self._regular and not item.by_channel

    def _fill_gap(self, following: _Vector) -> None:
        """Put small vectors where ``following`` would otherwise leave padding: the largest that fits, then the next.

        One may be larger than the gap if it ends where the alignment wants it.
        """
        if following.align <= 4 or self._regular:
            return
        while gap := -(self._builder.Offset() + len(following.data)) % following.align:
            fitting = [
                (size, -ref)
                for ref, item in self._fillers.items()
                if item is not following and ((size := self._padded(item)) <= gap or size % following.align == gap)
            ]
            if not fitting:
                return
            ref = -max(fitting)[1]
            del self._fillers[ref]
            self._write_vector(ref, self._small.pop(ref))

    def _padded(self, item: _Vector) -> int:
        """Bytes that a vector takes if it is written now, its own padding included."""
        end: int = self._builder.Offset() + item.size - 4
        return item.size + -end % max(item.align, 4)

    def _write_vector(self, ref: int, item: _Vector) -> None:
        builder = self._builder
        if item.text:
            self._offsets[ref] = builder.CreateString(item.data)
            return
        builder.StartVector(item.width, item.count, item.align)
        if item.data:
            head = builder.Head() - len(item.data)
            builder.head = head
            builder.Bytes[head : head + len(item.data)] = item.data
        self._offsets[ref] = builder.EndVector()

    def _write_references(self, ref: int, item: _References) -> None:
        self._builder.StartVector(4, len(item.refs), 4)
        for child in reversed(item.refs):
            self._builder.PrependUOffsetTRelative(self._offsets[child])
        self._offsets[ref] = self._builder.EndVector()

    def _write_table(self, ref: int, item: _Table) -> None:
        builder = self._builder
        builder.Prep(4, 0)  # a vtable may have left 2 bytes; inside the table they would make its own vtable a new one
        builder.StartObject(item.slots)
        numbers = [(_PREPEND[kind], slot, value) for slot, kind, value in item.numbers]
        wide = [entry for entry, (_, kind, _) in zip(numbers, item.numbers, strict=True) if kind in ("i64", "u64", "f64")]
        for prepend, slot, value in wide:
            getattr(builder, prepend)(value)
            builder.Slot(slot)
        for slot, child in item.refs:
            builder.PrependUOffsetTRelativeSlot(slot, self._offsets[child], 0)
        for prepend, slot, value in numbers[len(wide) :]:
            getattr(builder, prepend)(value)
            builder.Slot(slot)
        self._offsets[ref] = builder.EndObject()


_PREPEND: dict[str, str] = {
    "i8": "PrependInt8",
    "u8": "PrependUint8",
    "bool": "PrependBool",
    "i16": "PrependInt16",
    "u16": "PrependUint16",
    "i32": "PrependInt32",
    "u32": "PrependUint32",
    "i64": "PrependInt64",
    "u64": "PrependUint64",
    "f32": "PrependFloat32",
    "f64": "PrependFloat64",
}
