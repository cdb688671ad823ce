"""The schema's tables as typed field lists, parsed from ``schema_generated`` when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from edgekit.formats.tflite.schema_generated import (
    TABLES,
    BuiltinOptions,
    BuiltinOptions2,
    QuantizationDetails,
    SparseIndexVector,
)

#: ``struct`` format of every scalar type of the schema; the width is ``struct.calcsize`` of it.
SCALAR_FORMATS: dict[str, str] = {
    "i8": "<b",
    "u8": "<B",
    "bool": "<?",
    "i16": "<h",
    "u16": "<H",
    "i32": "<i",
    "u32": "<I",
    "i64": "<q",
    "u64": "<Q",
    "f32": "<f",
    "f64": "<d",
}

#: numpy's name of every scalar type of the schema, for vectors.
NUMPY_TYPES: dict[str, str] = {
    "i8": "<i1",
    "u8": "<u1",
    "bool": "|b1",
    "i16": "<i2",
    "u16": "<u2",
    "i32": "<i4",
    "u32": "<u4",
    "i64": "<i8",
    "u64": "<u8",
    "f32": "<f4",
    "f64": "<f8",
}

#: Union field -> the enum whose members name the tables that can stand in it. ``<field>_type`` holds the member.
UNIONS: dict[str, type[IntEnum]] = {
    "builtin_options": BuiltinOptions,
    "builtin_options2": BuiltinOptions2,
    "details": QuantizationDetails,
    "array_segments": SparseIndexVector,
    "array_indices": SparseIndexVector,
}


@dataclass(frozen=True)
class Field:
    """One field of a table.

    Attributes:
        name: as in schema.fbs, for example ``stride_w``.
        slot: its place in the table's vtable, from 0.
        kind: a scalar type (``i32``), ``str``, ``union``, the name of a table, or the element type of a vector.
        vector: whether the field is a vector of ``kind``.
        default: the value that is not stored, for scalars.
    """

    name: str
    slot: int
    kind: str
    vector: bool
    default: float | int

    @property
    def number(self) -> bool:
        """Whether the value, or each of its elements, is a number."""
        return self.kind in SCALAR_FORMATS


def _field(slot: int, text: str) -> Field:
    name, _, kind = text.partition(":")
    kind, _, default = kind.partition("=")
    vector = kind.startswith("[")
    kind = kind.strip("[]")
    if kind in ("f32", "f64"):
        return Field(name, slot, kind, vector, float(default or 0))
    return Field(name, slot, kind, vector, int(default or 0))


@cache
def fields_of(table: str) -> dict[str, Field]:
    """The fields of a table by name.

    Raises:
        KeyError: the schema has no such table.
    """
    parts = TABLES[table].split()
    return {field.name: field for slot, text in enumerate(parts) if text != "_" for field in [_field(slot, text)]}


@cache
def slot_count(table: str) -> int:
    """The number of slots that a table's vtable can have."""
    return len(TABLES[table].split())
