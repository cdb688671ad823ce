"""Write a .tflite file from plain data, as small as the format allows."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgekit.formats.tflite.model import Model, Operator, Options, OptionValue, Quantization, Signature, Subgraph, Tensor
from edgekit.formats.tflite.pool import Pool, Ref
from edgekit.formats.tflite.read import IDENTIFIER
from edgekit.formats.tflite.schema_generated import BuiltinOperator, BuiltinOptions
from edgekit.formats.tflite.tables import UNIONS, fields_of

#: The version of the schema that every TFLite file carries.
SCHEMA_VERSION = 3

#: What schema.fbs demands of a buffer (``force_align: 16``). Kernels with vector instructions read weights in place.
BUFFER_ALIGNMENT = 16

#: Codes from 127 on do not fit the field that every version of the schema has; it then holds this, and a second field
#: the code. Readers take the larger of the two, so codes below need the second one as little as old readers know it.
_CODE_ESCAPE = 127

_OperatorKey = tuple[BuiltinOperator, int, str]


def write(model: Model, *, names: Literal["io", "all"] = "io", regular: bool = False) -> bytes:
    """The bytes of a .tflite file. The same model gives the same bytes.

    Every distinct vector, table and buffer is stored once and every buffer inside the flatbuffer: large files with
    buffers outside are read wrongly, without an error, by TFLite Micro and by older runtimes.

    Args:
        model: what to write.
        names: which tensors keep their names: the inputs and outputs of each subgraph, or all.
        regular: files of networks that differ in widths alone have their offsets in common (``Pool``).

    Raises:
        ValueError: a tensor's scales and zero points differ in number, or its data does not fit its shape.
        KeyError: an option table or field that the schema does not have.
    """
    return _Writer(names == "all", regular).run(model)


class _Writer:
    def __init__(self, all_names: bool, regular: bool) -> None:
        self._pool = Pool(regular=regular)
        self._all_names = all_names
        self._codes: dict[_OperatorKey, int] = {}
        # Buffer 0 is the empty one: tensors without data refer to it by leaving the field out.
        self._buffers: list[Ref] = [self._pool.table("Buffer")]
        self._buffer_index: dict[Ref, int] = {}

    def run(self, model: Model) -> bytes:
        pool = self._pool
        subgraphs = pool.references([self._subgraph(subgraph) for subgraph in model.subgraphs])
        refs: dict[str, Ref] = {"subgraphs": subgraphs}
        if model.metadata:
            refs["metadata"] = pool.references([self._metadata(name, data) for name, data in model.metadata.items()])
        if model.signatures:
            refs["signature_defs"] = pool.references([self._signature(signature) for signature in model.signatures])
        if model.description:
            refs["description"] = pool.string(model.description)
        refs["operator_codes"] = pool.references([self._operator_code(code) for code in self._codes])
        refs["buffers"] = pool.references(self._buffers)
        return pool.finish(pool.table("Model", {"version": SCHEMA_VERSION}, refs), IDENTIFIER)

    def _buffer(self, data: bytes | memoryview, align: int) -> int:
        """The index of the buffer with this content."""
        table = self._pool.table("Buffer", refs={"data": self._pool.blob(data, align)})
        if table not in self._buffer_index:
            self._buffer_index[table] = len(self._buffers)
            self._buffers.append(table)
        return self._buffer_index[table]

    def _metadata(self, name: str, data: bytes) -> Ref:
        # Metadata is read byte by byte or as 32-bit integers (the offline memory plan of TFLite Micro).
        return self._pool.table("Metadata", {"buffer": self._buffer(data, 4)}, {"name": self._pool.string(name)})

    def _signature(self, signature: Signature) -> Ref:
        sides = {
            side: self._pool.references(
                [
                    self._pool.table("TensorMap", {"tensor_index": index}, {"name": self._pool.string(name)})
                    for name, index in entries.items()
                ]
            )
            for side, entries in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        refs = {**sides, "signature_key": self._pool.string(signature.key)}
        return self._pool.table("SignatureDef", {"subgraph_index": signature.subgraph}, refs)

    def _operator_code(self, key: _OperatorKey) -> Ref:
        code, version, custom = key
        numbers = {"deprecated_builtin_code": min(code, _CODE_ESCAPE), "version": version}
        if code >= _CODE_ESCAPE:
            numbers["builtin_code"] = int(code)
        return self._pool.table("OperatorCode", numbers, {"custom_code": self._pool.string(custom)} if custom else {})

    def _subgraph(self, subgraph: Subgraph) -> Ref:
        pool = self._pool
        named = {*subgraph.inputs, *subgraph.outputs}
        refs = {
            "tensors": pool.references(
                [self._tensor(t, self._all_names or i in named) for i, t in enumerate(subgraph.tensors)]
            ),
            "inputs": pool.vector("i32", subgraph.inputs),
            "outputs": pool.vector("i32", subgraph.outputs),
            "operators": pool.references([self._operator(operator) for operator in subgraph.operators]),
        }
        if subgraph.name:
            refs["name"] = pool.string(subgraph.name)
        return pool.table("SubGraph", refs=refs)

    def _tensor(self, tensor: Tensor, named: bool) -> Ref:
        pool = self._pool
        numbers: dict[str, float] = {"type": int(tensor.type), "is_variable": tensor.is_variable}
        refs = {"shape": pool.shape(tensor.shape)}
        if tensor.data is not None:
            if len(tensor.data) < tensor.nbytes:
                raise ValueError(f"tensor {tensor.name!r}: {len(tensor.data)} bytes of data for {tensor.nbytes}")
            numbers["buffer"] = self._buffer(tensor.data, BUFFER_ALIGNMENT)
        if tensor.quantization is not None:
            refs["quantization"] = self._quantization(tensor.quantization)
        if tensor.shape_signature and tensor.shape_signature != tensor.shape:
            refs["shape_signature"] = pool.vector("i32", tensor.shape_signature)
        if tensor.sparsity is not None:
            refs["sparsity"] = self._options(tensor.sparsity)
        if tensor.name and named:
            refs["name"] = pool.string(tensor.name)
        return pool.table("Tensor", numbers, refs)

    def _quantization(self, quantization: Quantization) -> Ref:
        if len(quantization.scale) != len(quantization.zero_point):
            raise ValueError(f"{len(quantization.scale)} scales and {len(quantization.zero_point)} zero points")
        refs = {
            "scale": self._pool.vector("f32", np.asarray(quantization.scale)),
            "zero_point": self._pool.vector("i64", np.asarray(quantization.zero_point)),
        }
        return self._pool.table("QuantizationParameters", {"quantized_dimension": quantization.axis}, refs)

    def _operator(self, operator: Operator) -> Ref:
        pool = self._pool
        key = (operator.code, operator.version, operator.custom_code)
        numbers: dict[str, float] = {"opcode_index": self._codes.setdefault(key, len(self._codes))}
        refs = {"inputs": pool.vector("i32", operator.inputs), "outputs": pool.vector("i32", operator.outputs)}
        if operator.options is not None:
            union = "builtin_options" if operator.options.table in BuiltinOptions.__members__ else "builtin_options2"
            numbers[f"{union}_type"] = int(UNIONS[union][operator.options.table])
            refs[union] = self._options(operator.options)
        if operator.intermediates:
            refs["intermediates"] = pool.vector("i32", operator.intermediates)
        if operator.custom_options is not None:
            refs["custom_options"] = pool.blob(operator.custom_options, BUFFER_ALIGNMENT)
        return pool.table("Operator", numbers, refs)

    def _options(self, options: Options) -> Ref:
        """A table of any kind."""
        fields = fields_of(options.table)
        numbers: dict[str, float] = {}
        refs: dict[str, Ref] = {}
        for name, value in options.fields.items():
            field = fields[name]
            if field.number and not field.vector:
                assert isinstance(value, int | float), (options.table, name, value)
                numbers[name] = value
                continue
            refs[name] = self._value(field.kind, value)
            if field.kind == "union":
                assert isinstance(value, Options), (options.table, name, value)
                numbers[f"{name}_type"] = int(UNIONS[name][value.table])
        return self._pool.table(options.table, numbers, refs)

    def _value(self, kind: str, value: OptionValue) -> Ref:
        """A field that is stored outside its table."""
        if isinstance(value, Options):
            return self._options(value)
        if isinstance(value, str):
            return self._pool.string(value)
        assert isinstance(value, tuple), (kind, value)
        tables = [self._options(item) for item in value if isinstance(item, Options)]
        strings = [self._pool.string(item) for item in value if isinstance(item, str)]
        if tables or strings:
            return self._pool.references(tables or strings)
        return self._pool.vector(kind, [item for item in value if isinstance(item, int | float)])
