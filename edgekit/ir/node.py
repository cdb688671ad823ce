"""What a graph is made of: values, and the nodes that compute them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgekit.ir.quant import QuantParams
from edgekit.ir.types import TensorType, Where

if TYPE_CHECKING:
    from edgekit.ir.ops.base import Op


class Value:
    """A tensor of the graph: an input, a constant (``data`` is a tensor) or the output of a node.

    A trainable constant's ``data`` is the very ``nn.Parameter`` of the module. ``quant`` says how the value is quantised;
    ``data`` stays float beside it.
    """

    __slots__ = ("data", "name", "producer", "quant", "type", "users")

    def __init__(self, name: str, type: TensorType, data: torch.Tensor | None = None, quant: QuantParams | None = None) -> None:
        self.name = name
        self.type = type
        self.data = data
        self.quant = quant
        self.producer: Node | None = None
        self.users: list[Node] = []  # a node that reads the value twice stands here once

    @property
    def shape(self) -> tuple[Any, ...]:
        """Dimensions: numbers and multiples of N."""
        return self.type.shape

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """The shape at batch 1."""
        return self.type.at(1)

    @property
    def is_constant(self) -> bool:
        """It has data: a weight, a buffer or a number of the graph's own."""
        return self.data is not None

    @property
    def tensor(self) -> torch.Tensor:
        """The data of a constant; TypeError for other values."""
        if self.data is None:
            raise TypeError(f"%{self.name} is not a constant")
        return self.data

    @property
    def is_trainable(self) -> bool:
        """Its data is an ``nn.Parameter``."""
        return isinstance(self.data, nn.Parameter)

    def __repr__(self) -> str:
        return f"{'@' if self.is_constant else '%'}{self.name}: {self.type}"


class Node:
    """One op applied to values. ``op`` holds the attributes; an absent optional input is None."""

    __slots__ = ("inputs", "op", "outputs", "where")

    def __init__(self, op: Op, inputs: Sequence[Value | None], outputs: Sequence[Value], where: Sequence[Where] = ()) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.where = tuple(where)

    @property
    def output(self) -> Value:
        """The first (often only) output."""
        return self.outputs[0]

    @property
    def name(self) -> str:
        """The name of the first output, which names the node too."""
        return self.outputs[0].name

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes of the op by name."""
        return self.op.attributes()

    def input(self, index: int) -> Value:
        """An input that must be there."""
        value = self.inputs[index]
        if value is None:
            raise TypeError(f"'{self.op.name}' node %{self.name} has no input {index}")
        return value

    def optional(self, index: int) -> Value | None:
        """An input that may be absent, or may not even be listed."""
        return self.inputs[index] if index < len(self.inputs) else None

    def __repr__(self) -> str:
        inputs = ", ".join("none" if v is None else ("@" if v.is_constant else "%") + v.name for v in self.inputs)
        return f"{', '.join('%' + v.name for v in self.outputs)} = {self.op}[{inputs}]"
