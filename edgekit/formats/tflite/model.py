"""A TFLite model as plain data, between the flatbuffer and everybody who reads or writes one.

Indices are those of the file: an ``Operator`` names tensors by their place in its subgraph, -1 standing for an optional
input that is left out. Buffers are not a thing of their own: a constant tensor holds its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType

#: What a field of an option table can hold: a scalar, a string, a table, or a vector of one of these.
OptionValue: TypeAlias = "float | str | Options | tuple[float, ...] | tuple[str, ...] | tuple[Options, ...]"

#: numpy's type of every tensor type that has one. INT4, INT2 and UINT4 are packed and are handled as bytes.
NUMPY_OF: dict[TensorType, np.dtype[np.generic]] = {
    TensorType.FLOAT32: np.dtype("<f4"),
    TensorType.FLOAT16: np.dtype("<f2"),
    TensorType.INT32: np.dtype("<i4"),
    TensorType.UINT8: np.dtype("u1"),
    TensorType.INT64: np.dtype("<i8"),
    TensorType.BOOL: np.dtype("?"),
    TensorType.INT16: np.dtype("<i2"),
    TensorType.COMPLEX64: np.dtype("<c8"),
    TensorType.INT8: np.dtype("i1"),
    TensorType.FLOAT64: np.dtype("<f8"),
    TensorType.COMPLEX128: np.dtype("<c16"),
    TensorType.UINT64: np.dtype("<u8"),
    TensorType.UINT32: np.dtype("<u4"),
    TensorType.UINT16: np.dtype("<u2"),
}

#: Bits of one element, for the types without a numpy type.
_BITS_OF: dict[TensorType, int] = {
    TensorType.INT4: 4,
    TensorType.UINT4: 4,
    TensorType.INT2: 2,
    TensorType.BFLOAT16: 16,
    TensorType.FLOAT8_E4M3FN: 8,
    TensorType.FLOAT8_E5M2: 8,
}


@dataclass(frozen=True)
class Options:
    """An option table of the schema: its name and the fields that differ from their defaults.

    ``Options("Conv2DOptions", {"stride_w": 2, "stride_h": 2})``. The names are those of schema.fbs.
    """

    table: str
    fields: dict[str, OptionValue] = field(default_factory=dict)


def packed(array: NDArray[np.generic], type: TensorType) -> bytes:
    """The bytes of a constant: row major, little endian; INT4 two to a byte and INT2 four, the first in the lowest bits."""
    bits = _BITS_OF.get(type, 8)
    if bits >= 8:
        return array.tobytes()
    each = 8 // bits
    flat = array.reshape(-1).astype(np.uint8) & ((1 << bits) - 1)
    flat = np.concatenate([flat, np.zeros(-len(flat) % each, np.uint8)]).reshape(-1, each)
    return bytes(np.bitwise_or.reduce(flat << (bits * np.arange(each, dtype=np.uint8)), axis=1).astype(np.uint8).tobytes())


def unpacked(data: bytes | memoryview, type: TensorType, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """What ``packed`` made of INT4 or INT2 values, as int8.

    Raises:
        ValueError: there are fewer bytes than the shape needs.
    """
    bits, count = _BITS_OF[type], prod(shape)
    raw = np.frombuffer(data, np.uint8)
    fields = (raw[:, None] >> (bits * np.arange(8 // bits, dtype=np.uint8))) & ((1 << bits) - 1)
    values = fields.reshape(-1)[:count].astype(np.int8)
    signed: NDArray[np.int8] = np.where(values >= 1 << (bits - 1), values - (1 << bits), values).astype(np.int8)
    return signed.reshape(shape)


@dataclass(frozen=True, eq=False)
class Quantization:
    """Affine quantisation, real = scale * (integer - zero_point), per tensor (one scale) or along ``axis``.

    Attributes:
        scale: float32, one or one per channel.
        zero_point: int64, as long as ``scale``: runtimes refuse a shorter one.
        axis: the dimension that ``scale`` runs along, 0 for one scale.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a subgraph.

    Attributes:
        name: may be empty.
        shape: the static shape; a scalar has ``()``.
        type: element type.
        data: the bytes of a constant (little endian, row major), None for an activation.
        quantization: affine quantisation, or None.
        shape_signature: the shape with -1 where a dimension may be resized; empty where it is all static.
        is_variable: whether the tensor keeps its value between calls.
        sparsity: the table of a sparse tensor, as it stands in the file.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    data: bytes | memoryview | None = None
    quantization: Quantization | None = None
    shape_signature: tuple[int, ...] = ()
    is_variable: bool = False
    sparsity: Options | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes at run time (0 for strings, resources and variants)."""
        count = 1
        for size in self.shape:
            count *= size
        if self.type in NUMPY_OF:
            return count * NUMPY_OF[self.type].itemsize
        return (count * _BITS_OF.get(self.type, 0) + 7) // 8

    def array(self) -> NDArray[np.generic]:
        """The constant's values in its shape, as stored (integers stay integers; packed ones come as int8).

        Raises:
            ValueError: the tensor is no constant, its type has no numpy type, or its bytes do not fit its shape.
        """
        if self.data is not None and self.type in (TensorType.INT4, TensorType.INT2):
            return unpacked(self.data, self.type, self.shape)
        if self.data is None or self.type not in NUMPY_OF:
            raise ValueError(f"tensor {self.name!r} ({self.type.name}) has no values that numpy can hold")
        return np.frombuffer(self.data, NUMPY_OF[self.type]).reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph.

    Attributes:
        code: the builtin operator, ``CUSTOM`` for a custom one.
        inputs: tensor indices; -1 where an optional input is absent.
        outputs: tensor indices.
        options: the operator's option table, or None.
        version: the operator's version in the schema's sense.
        intermediates: tensors that the kernel uses between its steps (LSTM).
        custom_code: the name of a custom operator.
        custom_options: its bytes.
    """

    code: BuiltinOperator
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None = None
    version: int = 1
    intermediates: tuple[int, ...] = ()
    custom_code: str = ""
    custom_options: bytes | None = None

    @property
    def name(self) -> str:
        """``CONV_2D``, or a custom operator's own name."""
        return self.custom_code if self.code == BuiltinOperator.CUSTOM else self.code.name


@dataclass(frozen=True)
class Subgraph:
    """A graph of operators in execution order; the first of a model is the one that runs."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]
    name: str = ""


@dataclass(frozen=True)
class Signature:
    """A named entry into a subgraph: argument and result names with their tensor indices."""

    key: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    subgraph: int = 0


@dataclass(frozen=True)
class Model:
    """A whole file."""

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...] = ()
    metadata: dict[str, bytes] = field(default_factory=dict)
    description: str = ""

    @property
    def main(self) -> Subgraph:
        """The subgraph that runs."""
        return self.subgraphs[0]

    def op_counts(self) -> dict[str, int]:
        """Operator name -> how often it stands in the main subgraph, most frequent first."""
        counts: dict[str, int] = {}
        for operator in self.main.operators:
            counts[operator.name] = counts.get(operator.name, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
