"""Read a .tflite file into plain data, without a runtime."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

import numpy as np

from edgekit.errors import InputError
from edgekit.formats.tflite.flatbuffer import Damaged, File, Table
from edgekit.formats.tflite.model import Model, Operator, Options, OptionValue, Quantization, Signature, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.tables import UNIONS, Field, fields_of

IDENTIFIER = b"TFL3"

#: Tables of options nest one or two deep; sparsity and StableHLO tables are the deepest.
_MAX_DEPTH = 8

_T = TypeVar("_T")
_Enum = TypeVar("_Enum", bound=IntEnum)


def is_tflite(data: bytes) -> bool:
    """Whether the bytes carry the file identifier of TensorFlow Lite."""
    return data[4:8] == IDENTIFIER


def read(data: bytes | bytearray | memoryview, *, where: object | None = None) -> Model:
    """The model in the bytes of a .tflite file. Constants are views of ``data``, not copies.

    Args:
        data: the whole file.
        where: what to name in an error, for example its path.

    Raises:
        InputError: not a TFLite file, truncated, or damaged in any way.
    """
    if not is_tflite(bytes(data[:8])):
        raise InputError("this is not a TensorFlow Lite file", where=where, hint="a .tflite file has 'TFL3' in bytes 4 to 7")
    try:
        return _model(File(data))
    except Damaged as error:
        raise InputError(
            f"this TensorFlow Lite file is damaged: {error}", where=where, hint="copy or download the file again"
        ) from error


def _model(file: File) -> Model:
    root = Table(file, "Model", file.follow(0))
    buffers = [_buffer(table) for table in root.tables("buffers")]
    codes = [_operator_code(table) for table in root.tables("operator_codes")]
    subgraphs = tuple(_subgraph(table, codes, buffers) for table in root.tables("subgraphs"))
    if not subgraphs:
        raise Damaged("it has no subgraph")
    return Model(
        subgraphs=subgraphs,
        signatures=tuple(_signature(table, subgraphs) for table in root.tables("signature_defs")),
        metadata={
            table.string("name"): bytes(_pick(buffers, table.integer("buffer"), "buffer") or b"")
            for table in root.tables("metadata")
        },
        description=root.string("description"),
    )


def _buffer(table: Table) -> memoryview | None:
    """A buffer's bytes; large ones may stand outside the flatbuffer, at ``offset``."""
    offset, size = table.integer("offset"), table.integer("size")
    if offset > 1:  # 0 and 1 mean that the data, if any, is inside
        if offset + size > len(table.file.view):
            raise Damaged(f"a buffer outside the flatbuffer ends at byte {offset + size} of {len(table.file.view)}")
        return table.file.view[offset : offset + size]
    data = table.raw("data")
    return data if data is not None and len(data) else None


def _operator_code(table: Table) -> tuple[BuiltinOperator, int, str]:
    # Codes above 126 do not fit the first field, which old readers know; the larger of the two counts.
    number = max(table.integer("deprecated_builtin_code"), table.integer("builtin_code"))
    return _member(BuiltinOperator, number, "operator"), table.integer("version"), table.string("custom_code")


def _member(kind: type[_Enum], number: int, what: str) -> _Enum:
    try:
        return kind(number)
    except ValueError:
        raise Damaged(f"{what} {number} is unknown to the schema") from None


def _pick(items: list[_T], index: int, what: str) -> _T:
    if not 0 <= index < len(items):
        raise Damaged(f"{what} {index} does not exist ({len(items)} do)")
    return items[index]


def _subgraph(table: Table, codes: list[tuple[BuiltinOperator, int, str]], buffers: list[memoryview | None]) -> Subgraph:
    tensors = tuple(_tensor(entry, buffers) for entry in table.tables("tensors"))
    operators = tuple(_operator(entry, codes, len(tensors)) for entry in table.tables("operators"))
    inputs, outputs = table.numbers("inputs"), table.numbers("outputs")
    _check_indices((*inputs, *outputs), len(tensors), 0)
    return Subgraph(tensors, inputs, outputs, operators, table.string("name"))


def _check_indices(indices: tuple[int, ...], count: int, lowest: int) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise Damaged(f"tensor {index} does not exist ({count} do)")


def _signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> Signature:
    index = table.integer("subgraph_index")
    count = len(_pick(list(subgraphs), index, "subgraph").tensors)
    names = [
        {entry.string("name"): entry.integer("tensor_index") for entry in table.tables(side)} for side in ("inputs", "outputs")
    ]
    for name in names:
        _check_indices(tuple(name.values()), count, 0)
    return Signature(table.string("signature_key"), names[0], names[1], index)


def _tensor(table: Table, buffers: list[memoryview | None]) -> Tensor:
    sparsity = table.table("sparsity")
    tensor = Tensor(
        name=table.string("name"),
        shape=table.numbers("shape"),
        type=_member(TensorType, table.integer("type"), "tensor type"),
        data=_pick(buffers, table.integer("buffer"), "buffer"),
        quantization=_quantization(table.table("quantization")),
        shape_signature=table.numbers("shape_signature"),
        is_variable=bool(table.scalar("is_variable")),
        sparsity=_options(sparsity, 0) if sparsity else None,
    )
    if any(size < 0 for size in tensor.shape):
        raise Damaged(f"tensor {tensor.name!r} has the shape {list(tensor.shape)}")
    return tensor


def _quantization(table: Table | None) -> Quantization | None:
    if table is None:
        return None
    scale, zero_point = table.array("scale"), table.array("zero_point")
    if scale is None or not len(scale):
        return None  # min and max of a float tensor, or nothing at all
    if zero_point is None or not len(zero_point):
        zero_point = np.zeros(1, np.int64)
    if len(zero_point) == 1:  # old files write one zero point for all channels
        table.file.spend(len(scale))
        zero_point = np.repeat(zero_point, len(scale))
    if len(zero_point) != len(scale):
        raise Damaged(f"a tensor has {len(scale)} scales and {len(zero_point)} zero points")
    axis = table.integer("quantized_dimension")
    return Quantization(scale.astype(np.float32, copy=False), zero_point.astype(np.int64, copy=False), axis)


def _operator(table: Table, codes: list[tuple[BuiltinOperator, int, str]], tensors: int) -> Operator:
    code, version, custom = _pick(codes, table.integer("opcode_index"), "operator code")
    inputs, outputs = table.numbers("inputs"), table.numbers("outputs")
    intermediates = table.numbers("intermediates")
    _check_indices(inputs, tensors, -1)
    _check_indices((*outputs, *intermediates), tensors, 0)
    custom_options = table.raw("custom_options")
    return Operator(
        code=code,
        inputs=inputs,
        outputs=outputs,
        options=_union(table),
        version=version,
        intermediates=intermediates,
        custom_code=custom,
        custom_options=None if custom_options is None else bytes(custom_options),
    )


def _union(table: Table) -> Options | None:
    """The operator's options; StableHLO's stand in a second union."""
    for union in ("builtin_options", "builtin_options2"):
        content = _union_table(table, union)
        if content is not None:
            return _options(content, 0)
    return None


def _union_table(table: Table, union: str) -> Table | None:
    kind = _member(UNIONS[union], table.integer(f"{union}_type"), "the type of an option table,")
    return table.table(union, kind.name) if kind else None


def _options(table: Table, depth: int) -> Options:
    """A table of any kind with the fields that it stores and that differ from their defaults."""
    if depth > _MAX_DEPTH:
        raise Damaged("its tables are nested too deep")
    fields: dict[str, OptionValue] = {}
    for field in fields_of(table.name).values():
        if table.has(field.name) and not (field.name.endswith("_type") and field.name[:-5] in UNIONS):
            value = _value(table, field, depth)
            if value is not None and not (field.number and not field.vector and value == field.default):
                fields[field.name] = value
    return Options(table.name, fields)


def _value(table: Table, field: Field, depth: int) -> OptionValue | None:
    if field.number:
        return table.values(field.name) if field.vector else table.scalar(field.name)
    if field.kind == "str":
        return table.strings(field.name) if field.vector else table.string(field.name)
    if field.vector:
        return tuple(_options(entry, depth + 1) for entry in table.tables(field.name))
    content = _union_table(table, field.name) if field.kind == "union" else table.table(field.name)
    return None if content is None else _options(content, depth + 1)
