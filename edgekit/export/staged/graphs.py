"""A graph with early exits, cut into one graph a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgekit.errors import Unsupported
from edgekit.export.refusals import place_of
from edgekit.ir import Graph, Value
from edgekit.ir.cloning import FlatGraph, flatten, unflatten
from edgekit.ir.exits import ExitPlan, exit_plan


@dataclass(frozen=True)
class StageGraph:
    """What runs for the samples that no earlier exit answered, as far as the next exit.

    Attributes:
        graph: its inputs are the network's, or outputs of earlier stages, by the same names; its outputs are the exit's
            logits, the network's outputs as this exit answers them, and what later stages read.
        logits: the output whose certainty decides.
        answers: name of an output of the network -> the output of this stage that is it.
        macs: multiply-accumulates of one sample in this stage.
    """

    graph: Graph
    logits: str
    answers: Mapping[str, str]
    macs: int

    @property
    def handed_on(self) -> tuple[str, ...]:
        """Outputs that later stages read."""
        own = {self.logits, *self.answers.values()}
        return tuple(value.name for value in self.graph.outputs if value.name not in own)


def stage_graphs(graph: Graph) -> tuple[StageGraph, ...]:
    """The stages of a graph with early exits, in order; the graph is left as it is.

    What reads the answer of the exits (a softmax, say) stands in every stage, behind that stage's own exit.

    Raises:
        Unsupported: the graph has no early exits, or they save nothing.
    """
    plan = exit_plan(graph)
    if plan is None or not plan.saves:
        raise Unsupported(
            "staged files are for networks whose early exits leave something out, and this one has none such",
            where=graph.name if plan is None else place_of(plan.node),
            hint='a step early_exit in the recipe, or no exits = "staged"',
        )
    flat = flatten(graph)
    index = {id(value): number for number, value in enumerate(graph.values())}
    parts = _Parts(graph, plan, index, flat)
    return tuple(parts.stage(number) for number in range(len(plan.regions) + 1))


class _Parts:
    """The plan in indices of a flat graph: which nodes are of which stage, and what crosses from one to another."""

    def __init__(self, graph: Graph, plan: ExitPlan, index: Mapping[int, int], flat: FlatGraph) -> None:
        self._flat, self._plan = flat, plan
        of_node = {id(node): number for number, node in enumerate(graph.nodes)}
        self._nodes = [[of_node[id(node)] for node in part] for part in (plan.before, *plan.regions)]
        self._after = [of_node[id(node)] for node in plan.after]
        self._answer = index[id(plan.node.output)]
        self._ends = [index[id(value)] for value in plan.node.inputs if value is not None]
        self._outputs = list(graph.outputs)
        self._index = index
        made = {value: node for node, (_, _, values, _) in enumerate(flat.nodes) for value in values}
        self._by_choice = {self._answer} | {v for v, node in made.items() if node in set(self._after)}
        self._reads = [self._read_by(number) for number in range(len(self._nodes))]

    def stage(self, number: int) -> StageGraph:
        """One stage."""
        end = self._ends[number]
        answers = {value.name: self._of(value, end) for value in self._outputs if self._is_told_in(number, value)}
        later = [value for reads in self._reads[number + 1 :] for value in reads]
        made = self._made(self._nodes[number])
        outputs = list(dict.fromkeys([end, *answers.values(), *(value for value in later if value in made)]))
        inputs = self._reads[number]
        flat = self._flat
        nodes = [flat.nodes[node] for node in sorted([*self._nodes[number], *self._after])]
        nodes = [(op, tuple(end if v == self._answer else v for v in given), out, where) for op, given, out, where in nodes]
        kept = {v for _, given, _, _ in nodes for v in given if v is not None}
        graph = unflatten(
            replace(
                flat,
                name=f"{flat.name}.stage_{number}",
                nodes=nodes,
                inputs=list(inputs),
                outputs=outputs,
                state={name: value for name, value in flat.state.items() if value in kept},
                transient=set(),
                signature=None,
            )
        )
        graph.sort()
        graph.eliminate_dead()
        graph.verify()
        names = [fields[0] for fields in flat.values]
        return StageGraph(graph, names[end], {name: names[value] for name, value in answers.items()}, graph.macs)

    def _of(self, value: Value, end: int) -> int:
        number = self._index[id(value)]
        return end if number == self._answer else number

    def _is_told_in(self, number: int, output: Value) -> bool:
        """An output that does not hang on the choice is the first stage's to tell."""
        return number == 0 or self._index[id(output)] in self._by_choice

    def _made(self, nodes: list[int]) -> set[int]:
        return {value for node in nodes for value in self._flat.nodes[node][2]}

    def _read_by(self, number: int) -> list[int]:
        """What a stage reads and does not make itself, in order of the network's inputs first."""
        nodes = [*self._nodes[number], *self._after]
        made = self._made(nodes)
        read = [v for node in nodes for v in self._flat.nodes[node][1] if v is not None]
        wanted = {v for v in [*read, self._ends[number]] if v not in made and v != self._answer}
        if number == 0:
            wanted |= {self._index[id(v)] for v in self._outputs} & set(self._flat.inputs)
        inputs = [v for v in self._flat.inputs if v in wanted or number == 0]
        constants = {v for v, fields in enumerate(self._flat.values) if fields[2] is not None}
        return [*inputs, *sorted(v for v in wanted if v not in constants and v not in inputs)]
