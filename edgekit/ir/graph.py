"""The graph: values and nodes (``edgekit/ir/node.py``), and the methods that change both consistently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from edgekit.errors import EdgekitError
from edgekit.ir.node import Node, Value
from edgekit.ir.signature import Signature
from edgekit.ir.types import TensorType, Where, where_text

if TYPE_CHECKING:
    from edgekit.formats.stream_record import StreamRecord
    from edgekit.ir.module import GraphModule
    from edgekit.ir.ops.base import Op

__all__ = ["Graph", "Node", "Value", "infer_types", "named_state", "union"]


class Graph:
    """A network: ``inputs``, ``outputs`` and ``nodes`` in an order in which every value is computed before it is read.

    ``state`` holds the source's parameters and buffers by their names there (several names may share one value: tied weights);
    names in ``transient`` are buffers that the source keeps out of its state_dict.
    """

    def __init__(self, name: str = "model") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.nodes: list[Node] = []
        self.state: dict[str, Value] = {}
        self.transient: set[str] = set()
        self.signature: Signature | None = None
        self.history: tuple[Any, ...] = ()
        self.notes: list[str] = []  # what the frontend wants the user to know
        self.stream: StreamRecord | None = None  # of a graph on frames: how it is called
        self.source: Any = None  # the callable that the graph was made from, to compare with; neither copied nor saved
        self._names: set[str] = set()

    # ------------------------------------------------------------------ building

    def unique_name(self, wish: str) -> str:
        """``wish``, or ``wish_1``, ``wish_2`` ... if it is taken; reserves it."""
        name, count = wish, 0
        while name in self._names:
            count += 1
            name = f"{wish}_{count}"
        self._names.add(name)
        return name

    def add_input(self, name: str, type: TensorType) -> Value:
        """Appends an input of the graph."""
        value = Value(self.unique_name(name), type)
        self.inputs.append(value)
        return value

    def constant(self, data: torch.Tensor, name: str = "constant") -> Value:
        """A constant. It belongs to the graph as soon as a node reads it."""
        return Value(self.unique_name(name), TensorType.of(data), data)

    def add_state(self, name: str, data: torch.Tensor | Value, *, transient: bool = False) -> Value:
        """A parameter (``nn.Parameter``) or buffer of the source, or another name (a tie) for one that is there."""
        value = data if isinstance(data, Value) else Value(self.unique_name(name), TensorType.of(data), data)
        self.state[name] = value
        if transient:
            self.transient.add(name)
        return value

    def add(
        self,
        op: Op,
        *inputs: Value | None,
        name: str | None = None,
        where: Sequence[Where] = (),
        before: Node | None = None,
        types: Sequence[TensorType] | None = None,
    ) -> Value:
        """Appends a node (or puts it before another) and returns its first output. Types are inferred unless given.

        Raises:
            EdgekitError: the op can't take these inputs; its place is in the error.
        """
        return self.add_node(op, inputs, name=name, where=where, before=before, types=types).outputs[0]

    def add_node(
        self,
        op: Op,
        inputs: Sequence[Value | None],
        *,
        name: str | None = None,
        where: Sequence[Where] = (),
        before: Node | None = None,
        types: Sequence[TensorType] | None = None,
    ) -> Node:
        """Like ``add`` for ops with several outputs: returns the node."""
        if types is None:
            types = infer_types(op, inputs, where)
        outputs = [Value(self.unique_name(name or op.name), type) for type in types]
        node = Node(op, inputs, outputs, where)
        for output in outputs:
            output.producer = node
        self._attach(node)
        self.nodes.insert(len(self.nodes) if before is None else self.nodes.index(before), node)
        return node

    # ------------------------------------------------------------------ reading

    def readers(self, value: Value) -> int:
        """How many inputs of nodes and graph outputs read a value."""
        reads = sum(sum(v is value for v in node.inputs) for node in value.users)
        return reads + sum(v is value for v in self.outputs)

    def is_output(self, value: Value) -> bool:
        """The value is one of the graph's outputs."""
        return any(v is value for v in self.outputs)

    def values(self) -> Iterator[Value]:
        """Every value once: inputs, state, constants in reading order, outputs of nodes."""
        seen: set[int] = set()
        for value in self._all_values():
            if id(value) not in seen:
                seen.add(id(value))
                yield value

    def _all_values(self) -> Iterator[Value]:
        yield from self.inputs
        yield from self.state.values()
        for node in self.nodes:
            yield from (v for v in node.inputs if v is not None)
            yield from node.outputs
        yield from self.outputs

    def constants(self) -> Iterator[Value]:
        """Constants and state, each once."""
        return (v for v in self.values() if v.is_constant)

    def value(self, name: str) -> Value:
        """The value of this name; KeyError if there is none."""
        if name in self.state:
            return self.state[name]
        for value in self.values():
            if value.name == name:
                return value
        raise KeyError(name)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample."""
        return sum(node.op.macs(node) for node in self.nodes)

    @property
    def parameters(self) -> int:
        """Number of elements in all distinct parameters."""
        return sum(v.tensor.numel() for v in self.constants() if v.is_trainable)

    # ------------------------------------------------------------------ changing

    def set_input(self, node: Node, index: int, value: Value | None) -> None:
        """Makes a node read another value."""
        old = node.inputs[index]
        node.inputs = (*node.inputs[:index], value, *node.inputs[index + 1 :])
        if old is not None and not any(v is old for v in node.inputs):
            old.users.remove(node)
        if value is not None and node not in value.users:
            value.users.append(node)

    def extend_input(self, node: Node, value: Value) -> None:
        """Gives a node one more input at the end, or fills the absent last one."""
        if node.inputs and node.inputs[-1] is None:
            self.set_input(node, len(node.inputs) - 1, value)
            return
        node.inputs = (*node.inputs, value)
        if node not in value.users:
            value.users.append(node)

    def set_op(self, node: Node, op: Op) -> None:
        """Changes a node's attributes (or its op) and infers the types of its outputs again."""
        types = infer_types(op, node.inputs, node.where)
        node.op = op
        for output, type in zip(node.outputs, types, strict=True):
            output.type = type

    def replace(self, old: Value, new: Value) -> None:
        """Everything that reads ``old`` reads ``new``, which takes its name (unless ``new`` has one to keep) and its place."""
        for node in list(old.users):
            if node is new.producer:
                continue
            for index, value in enumerate(node.inputs):
                if value is old:
                    self.set_input(node, index, new)
        was_output = self.is_output(old)
        self.outputs = [new if v is old else v for v in self.outputs]
        for name, value in list(self.state.items()):
            if value is old:
                self.state[name] = new
        keeps = any(v is new for v in self.inputs) or (new.is_constant and any(v is new for v in self.state.values()))
        if not keeps and (was_output or not self.is_output(new)):
            old.name, new.name = new.name, old.name
        if old.producer is not None and new.producer is not None and old.producer is not new.producer:
            new.producer.where = union(new.producer.where, old.producer.where)

    def remove(self, node: Node) -> None:
        """Takes out a node that nothing reads; ValueError otherwise."""
        for output in node.outputs:
            if output.users or self.is_output(output):
                raise ValueError(f"%{output.name} is still read")
        for value in {id(v): v for v in node.inputs if v is not None}.values():
            value.users.remove(node)
        self.nodes.remove(node)

    def eliminate_dead(self) -> int:
        """Removes nodes that no output depends on; returns how many. State stays."""
        alive = {id(v) for v in self.outputs}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if any(id(v) in alive for v in node.outputs):
                kept.append(node)
                alive.update(id(v) for v in node.inputs if v is not None)
        removed = len(self.nodes) - len(kept)
        if removed:
            keep = {id(n) for n in kept}
            dead = [n for n in self.nodes if id(n) not in keep]
            for node in dead:
                for value in {id(v): v for v in node.inputs if v is not None}.values():
                    value.users.remove(node)
            self.nodes = kept[::-1]
        return removed

    def sort(self) -> None:
        """Puts the nodes in an order in which values are computed before they are read, otherwise as they were.

        Raises:
            ValueError: the graph has a circle.
        """
        ready = {id(v) for v in self.values() if v.producer is None}
        pending, ordered = list(self.nodes), []
        while pending:
            rest = []
            for node in pending:
                if all(v is None or id(v) in ready for v in node.inputs):
                    ordered.append(node)
                    ready.update(id(v) for v in node.outputs)
                else:
                    rest.append(node)
            if len(rest) == len(pending):
                raise ValueError("the graph has a circle")
            pending = rest
        self.nodes = ordered

    def _attach(self, node: Node) -> None:
        for value in {id(v): v for v in node.inputs if v is not None}.values():
            value.users.append(node)

    # ------------------------------------------------------------------ copying

    def copy(self) -> Graph:
        """A graph of its own with the same tensors. Write to a tensor only after cloning it (``own``)."""
        from edgekit.ir.cloning import clone

        return clone(self, lambda tensor: tensor)

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        from edgekit.ir.cloning import deep_clone

        return deep_clone(self, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        from edgekit.ir.cloning import flatten, unflatten

        return unflatten, (flatten(self),)

    # ------------------------------------------------------------------ doors

    def module(self) -> GraphModule:
        """The graph as an ``nn.Module`` that shares its tensors."""
        from edgekit.ir.module import GraphModule

        return GraphModule(self)

    def verify(self) -> None:
        """Raises AssertionError where the graph contradicts itself."""
        from edgekit.ir.verify import verify

        verify(self)

    def save(self, path: Any) -> None:
        """Writes the graph as one ``.ekg`` file (safetensors with the graph as JSON in its metadata)."""
        from edgekit.ir.file import save

        save(self, path)

    def text(self) -> str:
        """The graph as text that ``edgekit.ir.text.parse`` reads."""
        from edgekit.ir.text import to_text

        return to_text(self)

    __str__ = text

    def __repr__(self) -> str:
        return f"<Graph '{self.name}': {len(self.nodes)} nodes, {self.parameters:,} parameters>"


def infer_types(op: Op, inputs: Iterable[Value | None], where: Sequence[Where]) -> tuple[TensorType, ...]:
    """Types of an op's outputs; an error carries the place in the user's model."""
    types = [None if v is None else v.type for v in inputs]
    try:
        return op.infer(*types)
    except EdgekitError as error:
        error.where = error.where or where_text(where)
        raise


def union(first: Sequence[Where], second: Sequence[Where]) -> tuple[Where, ...]:
    """Places of both, each once, in order."""
    return tuple(dict.fromkeys((*first, *second)))


def named_state(graph: Graph) -> Mapping[int, str]:
    """For each value that is state, by id, the first of its names."""
    names: dict[int, str] = {}
    for name, value in graph.state.items():
        names.setdefault(id(value), name)
    return names
