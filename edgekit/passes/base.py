"""What a pass is: an exact change of a graph, with a record of what it did and what it declined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgekit.ir import Graph, Node, Value, Where
from edgekit.ir.verify import verify


@dataclass(frozen=True)
class Skipped:
    """A place where a pass could have acted and did not: the value, the reason and the user's source."""

    value: str
    reason: str
    where: tuple[Where, ...] = ()


@dataclass(frozen=True)
class PassRecord:
    """What one pass did to one graph."""

    name: str
    rewrites: int
    skipped: tuple[Skipped, ...] = ()


class Skip(Exception):
    """Raised by a rewrite that declines, with the reason."""


@dataclass(frozen=True)
class Pass:
    """An exact change. Fields of the subclass are its options; its name is the class name in snake case."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def apply(self, graph: Graph) -> PassRecord:
        """Changes a graph in place. Called on graphs that the caller owns; ``run`` is the safe door."""
        raise NotImplementedError(self.name)

    def run(self, graph: Graph) -> tuple[Graph, PassRecord]:
        """A changed copy and the record; the given graph stays as it was."""
        out = graph.copy()
        record = self.apply(out)
        return out, record


@dataclass(frozen=True)
class Rewrite(Pass):
    """A pass that looks at one node at a time: ``match`` says whether it concerns the node, ``rewrite`` acts or raises Skip."""

    def match(self, graph: Graph, node: Node) -> bool:
        raise NotImplementedError(self.name)

    def rewrite(self, graph: Graph, node: Node) -> None:
        raise NotImplementedError(self.name)

    def apply(self, graph: Graph) -> PassRecord:
        rewrites, skipped = 0, []
        for node in list(graph.nodes):
            if not self.match(graph, node):
                continue
            try:
                self.rewrite(graph, node)
            except Skip as reason:
                skipped.append(Skipped(node.name, str(reason), node.where))
                continue
            rewrites += 1
            if not any(output.users or graph.is_output(output) for output in node.outputs):
                graph.remove(node)  # at once: as a reader it would keep the next node from being rewritten
        if rewrites:
            graph.eliminate_dead()
        return PassRecord(self.name, rewrites, tuple(skipped))


def run_passes(graph: Graph, passes: Sequence[Pass]) -> tuple[Graph, tuple[PassRecord, ...]]:
    """A copy of the graph after all passes in order, verified after each that changed something, and their records.

    Types are inferred again for the nodes that the pass made or touched; the given graph's own are trusted.
    """
    out = graph.copy()
    records = []
    known = {id(node): _imprint(node) for node in out.nodes}
    for step in passes:
        record = step.apply(out)
        if record.rewrites:
            now = {id(node): _imprint(node) for node in out.nodes}
            verify(out, touched=[node for node in out.nodes if known.get(id(node)) != now[id(node)]])
            known = now
        records.append(record)
    return out, tuple(records)


def _imprint(node: Node) -> tuple[object, ...]:
    """What the types of a node's outputs follow from, and these. It holds the node, so that its id stays its own."""
    return (node, node.op, *[None if v is None else v.type for v in node.inputs], *[v.type for v in node.outputs])


def succeed(graph: Graph, old: Value, new: Value) -> None:
    """``graph.replace`` for a new value that computes the same: it takes over the quantisation parameters too."""
    new.quant = old.quant
    graph.replace(old, new)


def require_unquantized(*values: Value | None) -> None:
    """Skip if a value that a rewrite would remove carries quantisation parameters, which would be lost with it."""
    for value in values:
        if value is not None and value.quant is not None:
            raise Skip(f"{'@' if value.is_constant else '%'}{value.name} is quantised")


def sole_producer(graph: Graph, node: Node, *kinds: type, index: int = 0) -> Node | None:
    """The producer of an input if it is one of ``kinds``, else None. Skip if something else reads that value too.

    Raises:
        Skip: the value has other readers, or carries quantisation parameters that a removal would lose.
    """
    value = node.inputs[index]
    if value is None or value.producer is None or not isinstance(value.producer.op, kinds):
        return None
    if (readers := graph.readers(value)) > 1:
        raise Skip(f"%{value.name} has {readers} readers")
    require_unquantized(value)
    return value.producer
