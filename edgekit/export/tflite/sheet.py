"""A subgraph being written: tensors, each distinct constant once, and operators with the lowest version that they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.tflite.model import Operator, Options, Quantization, Subgraph, Tensor, packed
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.versions import Use, lowest_version
from edgekit.ir import Node

_TYPE_OF: dict[str, TensorType] = {
    "float32": TensorType.FLOAT32,
    "float16": TensorType.FLOAT16,
    "int8": TensorType.INT8,
    "uint8": TensorType.UINT8,
    "int16": TensorType.INT16,
    "int32": TensorType.INT32,
    "int64": TensorType.INT64,
    "bool": TensorType.BOOL,
}


class Sheet:
    """Tensors and operators of one subgraph, in the order in which they are written."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.inputs: list[int] = []  # of a body; those of the main subgraph are the graph's
        self.outputs: list[int] = []
        self.node: Node | None = None  # what is being written
        self._nodes: list[Node | None] = []
        self._constants: dict[tuple[object, ...], int] = {}

    def activation(
        self, shape: Sequence[int], type: TensorType, quantization: Quantization | None = None, name: str = ""
    ) -> int:
        """A tensor that is computed; its index."""
        return self._tensor(Tensor(name, tuple(shape), type, quantization=quantization))

    def variable(
        self, shape: Sequence[int], type: TensorType = TensorType.FLOAT32, quantization: Quantization | None = None
    ) -> int:
        """A tensor that kernels keep a state in."""
        return self._tensor(Tensor("", tuple(shape), type, quantization=quantization, is_variable=True))

    def constant(
        self,
        array: NDArray[np.generic],
        quantization: Quantization | None = None,
        name: str = "",
        type: TensorType | None = None,
    ) -> int:
        """A constant; the same values of the same type, shape and quantisation are one tensor.

        ``type``: what the file holds where that is not the array's own; INT4 values come as int8 and are packed.
        """
        array = np.ascontiguousarray(array)
        type = _TYPE_OF[array.dtype.name] if type is None else type
        data = packed(array, type)
        parts = (
            () if quantization is None else (quantization.scale.tobytes(), quantization.zero_point.tobytes(), quantization.axis)
        )
        key = (type, array.shape, data, parts)
        if key not in self._constants:
            tensor = Tensor(name, array.shape, type, data, quantization)
            self._constants[key] = self._tensor(tensor)
        return self._constants[key]

    def ints(self, values: Sequence[int]) -> int:
        """A vector of int32, as kernels take axes, paddings and shapes."""
        return self.constant(np.array(values, np.int32))

    def operator(
        self,
        code: BuiltinOperator,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Options | None = None,
        intermediates: Sequence[int] = (),
        *,
        at: int | None = None,
    ) -> None:
        """Write an operator, at the end or ``at`` a place before others; an absent optional input is -1."""
        use = Use([None if i < 0 else self.tensors[i] for i in inputs], [self.tensors[i] for i in outputs], options)
        version = lowest_version(code, use)
        place = len(self.operators) if at is None else at
        operator = Operator(code, tuple(inputs), tuple(outputs), options, version, tuple(intermediates))
        self.operators.insert(place, operator)
        self._nodes.insert(place, self.node)

    def copied(self, index: int, at: int) -> int:
        """A tensor of its own with the elements of another: a SLICE of everything, ``at`` a place before other operators."""
        tensor = self.tensors[index]
        copy = self.activation(tensor.shape, tensor.type, tensor.quantization)
        begin, size = self.ints([0] * len(tensor.shape)), self.ints(tensor.shape)
        self.operator(BuiltinOperator.SLICE, [index, begin, size], [copy], Options("SliceOptions"), at=at)
        return copy

    def custom(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes = b"") -> None:
        """Write a custom operator at the end, with its options as the runtime reads them."""
        operator = Operator(BuiltinOperator.CUSTOM, tuple(inputs), tuple(outputs), custom_code=name, custom_options=options)
        self.operators.append(operator)
        self._nodes.append(self.node)

    def written_for(self) -> Iterator[tuple[Operator, Node]]:
        """The operators with the nodes that they were written for; a copy to a graph output has none."""
        return ((operator, node) for operator, node in zip(self.operators, self._nodes, strict=True) if node is not None)

    def rename(self, index: int, name: str) -> None:
        """Name a tensor, as the graph names what it holds."""
        self.tensors[index] = replace(self.tensors[index], name=name)

    def subgraph(self, inputs: Sequence[int], outputs: Sequence[int], name: str = "") -> Subgraph:
        """The subgraph as plain data."""
        return Subgraph(tuple(self.tensors), tuple(inputs), tuple(outputs), tuple(self.operators), name)

    def _tensor(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1
