"""The precision of each node of a graph: what a plan says about its weight, or about the module that it stands in."""

from __future__ import annotations

from edgekit.ir import Graph, Node, Value
from edgekit.ir.graph import named_state
from edgekit.precision import Precision, PrecisionPlan


class Layers:
    """A plan laid over a graph.

    A node with a weight is known by the weight's name in the state; one whose weight has none, or that has no weight, by the
    module that it stands in.

    Raises:
        UsageError: the plan names what the graph does not have.
    """

    def __init__(self, graph: Graph, plan: PrecisionPlan | None = None) -> None:
        self.plan = plan or PrecisionPlan()
        self._names = named_state(graph)
        if self.plan.layers:
            modules = {name for node in graph.nodes for name in _modules(node)}
            self.plan.require_known({*self._names.values(), *modules} - {""})

    def of(self, node: Node) -> Precision:
        """The precision of a node."""
        return self.plan.of(*self.names(node))

    def is_named(self, node: Node) -> bool:
        """Whether the plan says something about this node in particular."""
        return self.plan.entry(*self.names(node)) is not None

    def names(self, node: Node) -> tuple[str, ...]:
        """What a plan may call a node: the names of its state, else the modules that it stands in."""
        state = tuple(self._names[id(v)] for v in node.inputs if v is not None and id(v) in self._names)
        return state or _modules(node)

    def name(self, node: Node) -> str:
        """The one name of a layer for people: its weight's module, else where it stands."""
        names = self.names(node)
        return names[0].rpartition(".")[0] or names[0] if names else node.name

    def label(self, value: Value) -> str:
        """The name of a constant in the source's state, or the value's own."""
        return self._names.get(id(value), value.name)


def _modules(node: Node) -> tuple[str, ...]:
    return tuple(where.module for where in node.where if where.module)
