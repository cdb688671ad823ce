"""Which channels of a graph go together, which must stay, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.compress.prune.atoms import STAYS, Labels
from edgekit.compress.prune.coupling import ANY_BATCH, COUPLES, Coupling
from edgekit.compress.prune.coupling.balance import settle
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value
from edgekit.ir.graph import named_state

#: Reshapes whose other ways are tried, at most: each costs one pass over the graph.
_MAX_TRIALS = 64


@dataclass(frozen=True)
class Analysis:
    """The labels of every value of a graph, solved: ``root[atom]`` stands for the atom's class, which may go if
    ``is_free[atom]``.
    """

    graph: Graph
    coupling: Coupling
    root: Labels
    is_free: NDArray[np.bool_]

    def roots(self, value: Value, axis: int) -> Labels:
        """The classes along one axis; empty along the batch."""
        return self.root[self.coupling.axis(value, axis)] if len(self.coupling.axis(value, axis)) else np.zeros(0, np.int64)

    def free(self, value: Value, axis: int) -> NDArray[np.bool_]:
        """Which indices of an axis may be removed."""
        return self.is_free[self.coupling.axis(value, axis)]

    def reason(self, value: Value, axis: int) -> str:
        """Why (some index of) an axis stays; empty where all of it is free."""
        labels = self.coupling.axis(value, axis)
        fixed = labels[~self.is_free[labels]]
        for atom in np.unique(self.root[fixed]).tolist():
            if reason := self.coupling.atoms.reason(atom):
                return reason
        return "it is the only channel there" if len(labels) == 1 else "positions are not channels" if len(fixed) else ""

    def labelled(self) -> Iterator[tuple[Value, int, Labels]]:
        """Every axis of every value that an op has labelled, with its classes."""
        for value in self.graph.values():
            for axis, labels in enumerate(self.coupling.axes.get(id(value), ())):
                if labels is not None and len(labels):
                    yield value, axis, self.root[labels]


def analyse(graph: Graph) -> Analysis:
    """Labels a graph; linear in its nodes.

    A reshape that could carry channels along several axes takes the likeliest; where all its channels turn out to stay, or to
    go only together, the others are tried and the one that frees most is kept.

    Raises:
        Unsupported: values are quantised already.
    """
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported("pruning a quantised graph", where=graph.name, hint="prune first, quantise afterwards")
    choices: dict[tuple[int, int], int] = {}
    best = _label(graph, choices)
    trials = 0
    for key in list(best.open):
        choice = best.open.get(key)
        if choice is None or _may_lose(best, choice.atoms):
            continue
        for way in range(1, choice.ways):
            if (trials := trials + 1) > _MAX_TRIALS:
                break
            tried = _label(graph, {**choices, key: way})
            if _freedom(tried) > _freedom(best):
                best, choices = tried, {**choices, key: way}
    everything = np.arange(best.atoms.count)
    return Analysis(graph, best, best.atoms.roots(everything), best.atoms.free(everything))


def name_of(graph: Graph) -> Mapping[int, str]:
    """For each value, by id, the name that the user knows it by: the parameter's, else the value's own."""
    names = dict(named_state(graph))
    return {id(v): names.get(id(v), v.name) for v in graph.values()}


def _label(graph: Graph, choices: Mapping[tuple[int, int], int]) -> Coupling:
    c = Coupling(choices)
    for value in graph.inputs:
        rows = [c.stuck(d if isinstance(d, int) else 0, f"it is tied to the model's input '{value.name}'") for d in value.shape]
        c.label(value, rows)
    for position, node in enumerate(graph.nodes):
        c.enter(position, node)
        couple = COUPLES.get(type(node.op), _unknown)
        if couple not in ANY_BATCH:
            c.close_batch(node)
        couple(node, c)
    c.place = ""
    for value in graph.outputs:
        c.fix_axes(value, range(value.type.rank), f"it reaches the model's output '{value.name}'")
    settle(c)
    return c


def _unknown(node: Node, c: Coupling) -> None:
    """An op that nothing is known of fixes all that it reads."""
    why = "it is not known how channels couple there"
    for value in node.inputs:
        if value is not None:
            c.fix_axes(value, range(value.type.rank), why)
    for output in node.outputs:
        c.label(output, [c.stuck(d if isinstance(d, int) else 0, why) for d in output.shape])


def _freedom(c: Coupling) -> int:
    """Channels that may be removed, over all axes along which channels are made."""
    made = [c.axes[value][axis] for value, axis in c.made]
    return sum(int(c.atoms.free(labels).sum()) for labels in made if labels is not None and _may_lose(c, labels))


def _may_lose(c: Coupling, labels: Labels) -> bool:
    """Some of these may go and some stay."""
    labels = labels[labels != STAYS]
    free = c.atoms.free(labels)
    return bool(free.any()) and not (free.all() and len(np.unique(c.atoms.roots(labels))) == 1)
