"""What an ONNX lowering works with: the graph it adds to, the node it lowers, and what is known while loading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.frontend.lowering import GraphLowering, axis_of
from edgekit.frontend.onnx.rows import Row
from edgekit.frontend.onnx.sizes import Array, Sizes, holds_batch, objects
from edgekit.ir import Graph, Node, Value, Where, ops
from edgekit.ir.ops import Op
from edgekit.ir.types import Batch, Dim

#: What a name of the file stands for: a value of the graph, or sizes that depend on the batch.
Operand = Value | Sizes

#: Bytes that constants may have which are computed while loading, beside twice those that are in the file: a file of a few
#: bytes can ask for any number.
ROOM = 2**27
#: Elements of a vector of sizes.
_LONGEST = 2**20

_LET_FIXED = "let shapes, axes and pads be constants of the file; onnxsim and onnxruntime's tools fold what can be folded"


@dataclass
class Building:
    """What the lowerings of one file share.

    Attributes:
        graph: what is being built.
        weights: by id, constants that stand for one initialiser of floats (which training may change), with its name.
        kept: constants whose ids are used as keys.
        widened: by id, constants that stand in a wider type than the file's, with the name of that.
        read: names that some node or output of the file reads.
        readers: for each name, the operators that read it (``""`` for an output of the file).
        held: ids of values whose name in the file stands for their integers.
        room: bytes that computed constants may still have.
    """

    graph: Graph
    weights: dict[int, str] = field(default_factory=dict)
    kept: list[Value] = field(default_factory=list)
    widened: dict[int, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    readers: dict[str, set[str]] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    room: int = ROOM

    def is_weight(self, value: Value, name: str) -> None:
        """Marks a constant as (derived from) an initialiser."""
        self.weights[id(value)] = name
        self.kept.append(value)


class Lowering(GraphLowering):
    """The context of one node of the file.

    Attributes:
        graph: what is being built.
        node: the ``NodeProto``.
        opset: the version of its operator set.
        where: the node's name (or its first output's), given to everything that is added.
        path: the same text: it leads the names of what is added before the result has its own name.
        device: where constants are made.
    """

    def __init__(self, building: Building, node: Any, opset: int) -> None:
        self.building, self.node, self.opset = building, node, opset
        self.graph, self.device = building.graph, torch.device("cpu")
        self.path = node.name or next((name for name in node.output if name), node.op_type)
        self.where = Where(self.path)

    @property
    def op_name(self) -> str:
        """The operator's name."""
        return str(self.node.op_type)

    def is_known(self, x: Value) -> bool:
        """Every constant: training begins when the graph is there."""
        return x.is_constant

    def reads(self, index: int) -> bool:
        """Somebody reads this result of the node."""
        return index < len(self.node.output) and self.node.output[index] in self.building.read

    # ------------------------------------------------------------------ adding

    def add(self, op: Op, *inputs: Value | None) -> Value:
        """Like ``GraphLowering.add``; what is computed of an initialiser alone is a weight too.

        Raises:
            Unsupported: the constant would be too large.
        """
        known = all(x is not None and x.is_constant for x in inputs)
        if known:
            self._check_size(op, inputs)
        value = super().add(op, *inputs)
        if value.is_constant:
            origins = {self.building.weights[id(x)] for x in inputs if x is not None and id(x) in self.building.weights}
            if len(origins) == 1:
                self.building.is_weight(value, origins.pop())
        return value

    def permute(self, x: Value, dims: Sequence[int]) -> Value:
        """Like ``GraphLowering.permute``; a constant keeps its integers."""
        made = super().permute(x, dims)
        if made is not x and x.is_constant and x.quant is not None:
            axis = x.quant.axis
            made.quant = x.quant if axis is None else replace(x.quant, axis=tuple(dims).index(axis))
        return made

    def add_node(self, op: Op, *inputs: Value | None) -> Node:
        """Like ``GraphLowering.add_node``; sizes that torch cannot count are refused."""
        try:
            return super().add_node(op, *inputs)
        except OverflowError as error:
            raise self.refused(f"'{self.op_name}' has a result of impossible size") from error

    def _check_size(self, op: Op, inputs: Sequence[Value | None]) -> None:
        try:
            types = op.infer(*[None if x is None else x.type for x in inputs])
        except Unsupported:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError, OverflowError) as error:
            raise self.refused(f"'{self.op_name}' cannot become '{op}': {_first_line(error)}") from error
        self.claim(sum(prod(t.at(2)) * t.dtype.itemsize for t in types))

    def claim(self, size: int) -> None:
        """Asks for the bytes of a constant before it is computed.

        Raises:
            Unsupported: the file's constants would take too much memory.
        """
        self.need(0 <= size <= self.building.room, f"makes a constant of {size:,} bytes")
        self.building.room -= size

    def filled(self, shape: Sequence[Dim], value: int | float | bool, dtype: torch.dtype) -> Value:
        """Like ``GraphLowering.filled``, within the bounds of a constant."""
        self.claim(prod(d for d in shape if isinstance(d, int)) * dtype.itemsize)
        return super().filled(shape, value, dtype)

    def data(self, array: Array, dtype: torch.dtype = torch.int64) -> Operand:
        """Computed sizes as an operand: a constant where the batch is not in them."""
        self.need(array.size <= _LONGEST, f"computes sizes of {array.size:,} elements")
        if holds_batch(array):
            return Sizes(array, dtype)
        return self.constant(torch.tensor(array.tolist(), dtype=dtype), "sizes")

    # ------------------------------------------------------------------ reading

    def tensor(self, x: Operand | Row) -> Value:
        """An operand as a value of the graph.

        Raises:
            Unsupported: it is the batch size, or a sequence.
        """
        self.need(not isinstance(x, Row), "takes a sequence of tensors", "read its tensors one by one: SequenceAt")
        assert not isinstance(x, Row)
        if isinstance(x, Sizes):
            raise self.refused(
                "the batch size enters a computation as a number",
                "let no value depend on how many samples there are, or fix the batch: batch_axes={name: None}",
            )
        return x

    def known(self, x: Operand, what: str) -> torch.Tensor:
        """The content of a constant; ``what`` names it in the refusal."""
        value = self.tensor(x)
        self.need(value.is_constant, f"takes its {what} from a computation at run time", _LET_FIXED)
        return value.tensor

    def array(self, x: Operand, what: str) -> Array:
        """Known data, sizes included, as numbers and multiples of N."""
        if isinstance(x, Sizes):
            return x.array
        tensor = self.known(x, what)
        self.need(tensor.numel() <= _LONGEST, f"computes {what} of {tensor.numel():,} elements")
        return objects(tensor.reshape(-1).tolist(), tuple(tensor.shape))

    def dims(self, x: Operand | Sequence[int], what: str) -> list[Dim]:
        """Sizes: a vector's elements, or an attribute's."""
        if isinstance(x, Value | Sizes):
            return list(self.array(x, what).reshape(-1))
        return list(x)

    def ints(self, x: Operand | Sequence[int] | int, what: str) -> list[int]:
        """Whole numbers that do not depend on the batch."""
        if isinstance(x, int):
            return [x]
        found: list[int] = []
        for dim in self.dims(x, what):
            if isinstance(dim, Batch):
                raise self.refused(f"'{self.op_name}' takes its {what} from the batch size", _LET_FIXED)
            found.append(int(dim))
        return found

    def number(self, x: Operand | int | float | None, what: str) -> float | None:
        """One number; None where it is absent (an operand of no elements counts as absent)."""
        if x is None or isinstance(x, int | float):
            return x
        tensor = self.known(x, what)
        self.need(tensor.numel() <= 1, f"has {tensor.numel()} numbers as its {what}")
        return tensor.item() if tensor.numel() else None

    def axis(self, axis: int, rank: int) -> int:
        """A non-negative axis within the rank."""
        self.need(-rank <= axis < max(rank, 1), f"has the axis {axis} of {rank} dimensions")
        return axis_of(axis, rank)

    def axes(self, axes: Operand | Sequence[int] | None, rank: int) -> tuple[int, ...] | None:
        """Non-negative axes in ascending order, each once; None where there are none."""
        found = [] if axes is None else [self.axis(a, rank) for a in self.ints(axes, "axes")]
        self.need(len(set(found)) == len(found), f"has an axis twice: {found}")
        return tuple(sorted(found)) or None

    def fixed(self, x: Value, axis: int) -> int:
        """The size of a dimension that does not depend on the batch."""
        size = x.shape[axis]
        if isinstance(size, Batch):
            raise self.refused(f"'{self.op_name}' runs over the batch", "say which axis is the batch: batch_axes={name: axis}")
        return int(size)

    def spatial(self, x: Value, count: int) -> tuple[int, ...]:
        """Sizes of the dimensions behind batch and channels."""
        self.need(x.type.rank == count + 2, f"slides over {count} dimensions of {x.type}")
        return tuple(self.fixed(x, axis) for axis in range(2, x.type.rank))

    def matrix(self, numbers: Any, dtype: torch.dtype, name: str) -> Value:
        """A constant of computed numbers."""
        return self.constant(torch.from_numpy(np.ascontiguousarray(numbers)).to(dtype), name)

    def mul(self, x: Value, factor: float) -> Value:
        """x times a number; x itself for 1."""
        return x if factor == 1 else self.add(ops.Mul(), x, self.scalar(factor, x.type.dtype))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
