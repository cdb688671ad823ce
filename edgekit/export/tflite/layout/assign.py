"""The assignment: one mode for every node, so that the transposes and reshapes in between cost least.

A value that a reader wants in another form than its producer gives is brought there once, however many readers want it.
The cost of a choice is the sum over the values of what these movements cost, and over the nodes of what their modes
cost. `cheapest` finds the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from edgekit.export.tflite.layout import arrangers as _arrangers  # noqa: F401 - fills the table of modes
from edgekit.export.tflite.layout.elimination import Factor, cheapest
from edgekit.export.tflite.layout.form import Form
from edgekit.export.tflite.layout.modes import MOST_FORMS, Forms, Mode, modes_of
from edgekit.export.tflite.layout.movement import cost
from edgekit.ir import Graph, Node, Value

#: Choices of the nodes around one value that are priced jointly; above, each reader is priced by itself.
_LARGEST_JOINT = 20_000


@dataclass(frozen=True)
class Assignment:
    """The modes chosen, by node, and what the movements cost together, in element copies."""

    modes: dict[int, Mode]
    cost: float

    def mode(self, node: Node) -> Mode:
        """The mode of a node."""
        return self.modes[id(node)]


def assign(graph: Graph, batch: int, inputs: dict[int, Form], outputs: list[Form]) -> Assignment:
    """Choose the modes of all nodes.

    Args:
        graph: what is exported.
        batch: the file's batch.
        inputs: the form of each graph input, by id of the value.
        outputs: the form of each graph output, in order.
    """
    forms = Forms(graph, batch)
    for value in graph.inputs:
        forms.set(value, [inputs[id(value)]])
    modes: dict[int, list[Mode]] = {}
    for node in graph.nodes:
        modes[id(node)] = modes_of(forms, node)
        for place, output in enumerate(node.outputs):
            forms.set(output, list(dict.fromkeys(mode.outputs[place] for mode in modes[id(node)]))[: 2 * MOST_FORMS])
    numbers = {id(node): number for number, node in enumerate(graph.nodes)}
    sizes = [len(modes[id(node)]) for node in graph.nodes]
    factors = [Factor((numbers[key],), np.array([mode.cost for mode in found])) for key, found in modes.items()]
    for value in (*graph.inputs, *(output for node in graph.nodes for output in node.outputs)):
        factors += _Movements(graph, value, numbers, modes, inputs, outputs).factors()
    chosen = cheapest(sizes, factors)
    total = sum(float(factor.table[tuple(chosen[v] for v in factor.scope)]) for factor in factors)
    return Assignment({id(node): modes[id(node)][chosen[numbers[id(node)]]] for node in graph.nodes}, total)


class _Movements:
    """What it costs to bring one value from its producer to all its readers."""

    def __init__(
        self,
        graph: Graph,
        value: Value,
        numbers: dict[int, int],
        modes: dict[int, list[Mode]],
        inputs: dict[int, Form],
        outputs: list[Form],
    ) -> None:
        self.value = value
        self._numbers = numbers
        self._modes = modes
        self._given = inputs.get(id(value))
        self._demanded = frozenset(form for form, output in zip(outputs, graph.outputs, strict=True) if output is value)

    def factors(self) -> list[Factor]:
        """Tables over the producer's and the readers' modes."""
        readers = list(self.value.users)
        if not readers and not self._demanded:
            return []
        # A reader with one mode has no choice: what it wants is demanded. That keeps the tables small where many read.
        settled = [wishes for reader in readers if len(self._modes[id(reader)]) == 1 for wishes in self._wants(reader)]
        demanded = self._demanded.union(*settled)
        choosing = [reader for reader in readers if len(self._modes[id(reader)]) > 1]
        size = len(self._options(self.value.producer))
        for reader in choosing:
            size *= len(self._modes[id(reader)])
        if size <= _LARGEST_JOINT:
            return [self._factor(choosing, demanded)]
        return [self._factor([], demanded), *(self._factor([reader], frozenset()) for reader in choosing)]

    def _options(self, producer: Node | None) -> list[Form]:
        """The form of the value for each mode of its producer."""
        if producer is None:
            assert self._given is not None
            return [self._given]
        place = next(i for i, output in enumerate(producer.outputs) if output is self.value)
        return [mode.outputs[place] for mode in self._modes[id(producer)]]

    def _wants(self, reader: Node) -> list[frozenset[Form]]:
        """The forms that a reader wants the value in, for each of its modes."""
        places = [i for i, value in enumerate(reader.inputs) if value is self.value]
        return [frozenset(f for i in places if (f := mode.inputs[i]) is not None) for mode in self._modes[id(reader)]]

    def _factor(self, readers: list[Node], demanded: frozenset[Form]) -> Factor:
        producer = self.value.producer
        nodes = [node for node in (producer, *readers) if node is not None]
        given = self._options(producer)
        wanted = [self._wants(reader) for reader in readers]
        prices = [sum(cost(form, goal) for goal in demanded.union(*wishes)) for form in given for wishes in product(*wanted)]
        table = np.array(prices).reshape([len(given), *(len(options) for options in wanted)])
        if producer is None:
            table = table.reshape(table.shape[1:])
        scope = tuple(self._numbers[id(node)] for node in nodes)
        assert table.size == prod(len(self._modes[id(node)]) for node in nodes)
        return _without_repeats(scope, table)


def _without_repeats(scope: tuple[int, ...], table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Factor:
    """Without axes of single-mode nodes, which decide nothing."""
    kept = [axis for axis, size in enumerate(table.shape) if size > 1]
    return Factor(tuple(scope[axis] for axis in kept), table.reshape([table.shape[axis] for axis in kept]))
