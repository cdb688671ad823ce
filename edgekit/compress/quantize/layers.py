"""The precision of each node of a graph: what a plan says about its weight, or about the module that it stands in."""

from __future__ import annotations

from dataclasses import replace

from edgekit.compress.quantize.policy import Policy
from edgekit.compress.quantize.weight_kernels import BY_DEFAULT, INT4, kind_of, refusal, takes
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value
from edgekit.ir.graph import named_state
from edgekit.ir.types import where_text
from edgekit.precision import Precision, PrecisionPlan


class Layers:
    """A plan laid over a graph.

    A node with a weight is known by the weight's name in the state; one whose weight has none, or that has no weight, by the
    module that it stands in. Where the runtime has no good kernel for 4-bit weights that the plan's default asks for, they
    have 8 bits.

    Raises:
        UsageError: the plan names what the graph does not have.
        Unsupported: the plan asks for what the runtime does not compute, by name of the layer.
    """

    def __init__(self, graph: Graph, plan: PrecisionPlan | None = None, policy: Policy | None = None) -> None:
        self.plan = plan or PrecisionPlan()
        self._names = named_state(graph)
        self._policy = policy
        if policy is not None and self.plan.default.weights == "int4" and not INT4.get(policy.runtime):
            raise Unsupported(
                f"{policy.title} has no layers with 4-bit weights that cost no more memory",
                where="[quantization] weights",
                hint='weights = { dtype = "int8" } in the target; 4 bits in the LiteRT targets',
            )
        if self.plan.layers:
            modules = {name for node in graph.nodes for name in _modules(node)}
            self.plan.require_known({*self._names.values(), *modules} - {""})
            for node in graph.nodes:
                self._require_kernel(node)

    def of(self, node: Node) -> Precision:
        """The precision of a node."""
        precision = self.plan.of(*self.names(node))
        if precision.weights != "int4" or self.states_weights(node):
            return precision
        good = kind_of(node) in BY_DEFAULT and (self._policy is None or takes(self._policy.runtime, node, precision))
        return precision if good or kind_of(node) is None else replace(precision, weights="int8")

    def states_weights(self, node: Node) -> bool:
        """Whether the plan names this layer, and its weights in particular."""
        entry = self.plan.entry(*self.names(node))
        return entry is not None and self.plan.layers[entry].weights is not None

    def _require_kernel(self, node: Node) -> None:
        precision = self.of(node)
        if self._policy is not None and self.is_named(node) and not takes(self._policy.runtime, node, precision):
            raise Unsupported(
                refusal(self._policy.title, node, precision),
                where=where_text(node.where) or self.name(node),
                hint=f'`"{self.name(node)}" = {{ weights = "int8" }}` in [quantization.layers]; table: docs/precisions.md',
            )

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
