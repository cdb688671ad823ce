"""An ONNX graph while it is being written: nodes, constants, and names that are settled at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from edgekit.export.onnx.element_types import raw_bytes
from edgekit.ir.graph import Value

#: What an attribute may hold.
Attribute: TypeAlias = "int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | torch.Tensor | Branch"


@dataclass(eq=False, slots=True)
class Tensor:
    """A tensor of the file. ``name`` is binding; one without takes ``wish`` (or ``wish_1`` ...) when the file is finished.

    ``kind``: the element type of a constant, by ONNX's number, where that is not the one of its data.
    """

    name: str = ""
    wish: str = ""
    kind: int | None = None


@dataclass(eq=False, slots=True)
class FileNode:
    """One operator of the file; an absent optional input is None."""

    type: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: dict[str, Attribute]


@dataclass(eq=False)
class Branch:
    """A graph inside the file's: a branch of an If. It reads what is computed outside by name; its constants are its own.

    Attributes:
        nodes, initializers: as in the `Writer`.
        output: what it gives.
        value: the graph's value that this is, for its shape.
        kind: the element type by ONNX's number, where that is not the one of the value.
    """

    nodes: list[FileNode] = field(default_factory=list)
    initializers: list[tuple[Tensor, torch.Tensor]] = field(default_factory=list)
    output: Tensor = field(default_factory=Tensor)
    value: Value | None = None
    kind: int | None = None
    shared: dict[tuple[torch.dtype, int | None, tuple[int, ...], bytes], Tensor] = field(default_factory=dict)


@dataclass
class Writer:
    """Collects what the file will hold.

    Attributes:
        nodes: in execution order.
        initializers: constants with their data, in the order of their first use.
        scope: the name of what is being written; nameless tensors are called ``scope/operator``.
    """

    nodes: list[FileNode] = field(default_factory=list)
    initializers: list[tuple[Tensor, torch.Tensor]] = field(default_factory=list)
    scope: str = ""
    _shared: dict[tuple[torch.dtype, int | None, tuple[int, ...], bytes], Tensor] = field(default_factory=dict)

    def add(self, type: str, *inputs: Tensor | None, **attributes: Attribute) -> Tensor:
        """Appends an operator with one output."""
        return self.add_many(type, inputs, 1, **attributes)[0]

    def add_many(self, type: str, inputs: Sequence[Tensor | None], outputs: int, **attributes: Attribute) -> tuple[Tensor, ...]:
        """Appends an operator with several outputs. Absent inputs at the end are left out."""
        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        results = tuple(Tensor(wish=f"{self.scope}/{type}") for _ in range(outputs))
        self.nodes.append(FileNode(type, tuple(given), results, attributes))
        return results

    def initializer(self, data: torch.Tensor, wish: str, kind: int | None = None) -> Tensor:
        """A constant of its own."""
        tensor = Tensor(wish=wish, kind=kind)
        self.initializers.append((tensor, data))
        return tensor

    def shared(self, data: torch.Tensor, wish: str = "constant", kind: int | None = None) -> Tensor:
        """A small constant; equal ones are written once, under the first one's name."""
        key = (data.dtype, kind, tuple(data.shape), raw_bytes(data))
        if key not in self._shared:
            self._shared[key] = self.initializer(data, wish, kind)
        return self._shared[key]

    def ints(self, numbers: Sequence[int]) -> Tensor:
        """A vector of int64, as shapes, axes and pads are given."""
        return self.shared(torch.tensor(list(numbers), dtype=torch.int64))

    def scalar(self, number: float, dtype: torch.dtype = torch.float32) -> Tensor:
        """A number of rank 0."""
        return self.shared(torch.tensor(number, dtype=dtype))

    @contextmanager
    def within(self, branch: Branch) -> Iterator[None]:
        """What the block writes goes into a branch."""
        before = self.nodes, self.initializers, self._shared
        self.nodes, self.initializers, self._shared = branch.nodes, branch.initializers, branch.shared
        try:
            yield
        finally:
            self.nodes, self.initializers, self._shared = before

    def settle_names(self, interface: Sequence[Tensor] = ()) -> None:
        """Gives every nameless tensor a name of its own, in branches too. ``interface``: inputs and outputs, read or not."""
        tensors = [*interface, *_tensors(self.initializers, self.nodes)]
        taken = {tensor.name for tensor in tensors}
        for tensor in tensors:
            if not tensor.name:
                count, name = 0, tensor.wish
                while name in taken:
                    count += 1
                    name = f"{tensor.wish}_{count}"
                taken.add(name)
                tensor.name = name


def _tensors(initializers: Iterable[tuple[Tensor, torch.Tensor]], nodes: Iterable[FileNode]) -> Iterator[Tensor]:
    """All tensors, those of branches behind the operator that has them."""
    yield from (tensor for tensor, _ in initializers)
    for node in nodes:
        yield from (tensor for tensor in (*node.inputs, *node.outputs) if tensor is not None)
        for content in node.attributes.values():
            if isinstance(content, Branch):
                yield from _tensors(content.initializers, content.nodes)
                yield content.output
