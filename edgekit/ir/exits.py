"""What a network with early exits computes when: the nodes that always run, and those that only later exits need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.ops import ChooseExit
from edgekit.ir.types import where_text


@dataclass(frozen=True)
class ExitPlan:
    """The nodes of a graph around its choice between exits, each part in the graph's order.

    Attributes:
        node: the choice.
        before: what runs for every sample: all that the first exit or another output of the network needs.
        regions: for each later exit what it needs and no earlier one does; runs where no earlier exit answered.
        after: what reads the answer.
    """

    node: Node
    before: tuple[Node, ...]
    regions: tuple[tuple[Node, ...], ...]
    after: tuple[Node, ...]

    @property
    def op(self) -> ChooseExit:
        """The choice's attributes."""
        assert isinstance(self.node.op, ChooseExit)
        return self.node.op

    @property
    def saves(self) -> bool:
        """An early answer leaves nodes out."""
        return any(self.regions)

    def macs(self) -> tuple[int, ...]:
        """Multiply-accumulates of one sample that leaves at each exit, the first first."""
        always = sum(node.op.macs(node) for node in (*self.before, *self.after))
        costs = [always]
        for region in self.regions:
            costs.append(costs[-1] + sum(node.op.macs(node) for node in region))
        return tuple(costs)


def exit_plan(graph: Graph) -> ExitPlan | None:
    """The plan of a graph with exits; None for one without.

    Raises:
        Unsupported: it has several choices between exits.
    """
    found = [node for node in graph.nodes if isinstance(node.op, ChooseExit)]
    if not found:
        return None
    if len(found) > 1:
        raise Unsupported(
            f"{len(found)} choices between early exits in one network",
            where="\n".join(where_text(node.where) if node.where else f"%{node.name}" for node in found),
            hint="give the network one step of early exits with several places",
        )
    (choice,) = found
    after = _readers(graph, choice)
    of_answer = {id(choice), *after}
    fixed = [v for v in graph.outputs if _made_by(v) not in of_answer]
    fixed += [v for n in graph.nodes if id(n) in after for v in n.inputs if v is not None and _made_by(v) not in of_answer]
    place: dict[int, int] = {}
    for index in range(len(choice.inputs)):
        roots = [choice.input(index), *(fixed if index == 0 else [])]
        for node in _needed(roots):
            place.setdefault(id(node), index)
    parts: list[list[Node]] = [[] for _ in choice.inputs]
    for node in graph.nodes:
        if id(node) not in of_answer:
            parts[place.get(id(node), 0)].append(node)
    last = tuple(node for node in graph.nodes if id(node) in after)
    return ExitPlan(choice, tuple(parts[0]), tuple(tuple(part) for part in parts[1:]), last)


def _made_by(value: Value) -> int | None:
    return None if value.producer is None else id(value.producer)


def _readers(graph: Graph, start: Node) -> set[int]:
    """All nodes (by id) that depend on one."""
    reached = {id(value) for value in start.outputs}
    found = set[int]()
    for node in graph.nodes:
        if any(value is not None and id(value) in reached for value in node.inputs):
            found.add(id(node))
            reached.update(id(value) for value in node.outputs)
    return found


def _needed(roots: Iterable[Value]) -> list[Node]:
    """All nodes that compute these values."""
    found: dict[int, Node] = {}
    waiting = [value.producer for value in roots if value.producer is not None]
    while waiting:
        node = waiting.pop()
        if id(node) not in found:
            found[id(node)] = node
            waiting += [value.producer for value in node.inputs if value is not None and value.producer is not None]
    return list(found.values())
