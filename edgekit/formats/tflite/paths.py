"""The paths through a file with early exits, each as a file that takes no other: for costs that depend on the sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.formats.exit_rates import EXITS_KEY, ExitRates
from edgekit.formats.tflite.model import Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write

_LARGEST = float(np.finfo(np.float32).max)


def forced_paths(data: bytes) -> list[bytes]:
    """For each exit the file with bounds that every sample passes there and not before; the whole network is the last.

    Nothing for a file whose IFs are not such a chain: ``GREATER`` with a constant decides each, and the next one stands in the
    else branch.

    Raises:
        InputError: not a TFLite file, or a damaged one.
    """
    model = read(data)
    places = _chain(model)
    return [write(_forced(model, places, index), names="all") for index in range(len(places) + 1)] if places else []


def rates_of(data: bytes) -> ExitRates | None:
    """What the file says of its exits; None where it says nothing."""
    return ExitRates.decode(read(data).metadata.get(EXITS_KEY))


def _chain(model: Model) -> list[tuple[int, int]]:
    """Subgraph and operator of every comparison that decides an IF, the first exit's first."""
    found: list[tuple[int, int]] = []
    number = 0
    while True:
        graph = model.subgraphs[number]
        choices = [operator for operator in graph.operators if operator.code == BuiltinOperator.IF]
        if not choices:
            return found
        place = _deciding(graph, choices[0])
        if len(choices) > 1 or place is None:
            return []
        found.append((number, place))
        fields = choices[0].options.fields if choices[0].options else {}
        number = int(fields.get("else_subgraph_index", 0))  # type: ignore[arg-type]
        if not 0 < number < len(model.subgraphs) or number in [graph_number for graph_number, _ in found]:
            return []


def _deciding(graph: Subgraph, choice: Operator) -> int | None:
    for place, operator in enumerate(graph.operators):
        if choice.inputs[0] in operator.outputs:
            bound = graph.tensors[operator.inputs[1]] if len(operator.inputs) == 2 else None
            decides = operator.code == BuiltinOperator.GREATER and bound is not None and bound.data is not None
            return place if decides and bound is not None and bound.type == TensorType.FLOAT32 else None
    return None


def _forced(model: Model, places: list[tuple[int, int]], leave: int) -> Model:
    """The model whose samples leave at one exit."""
    subgraphs = list(model.subgraphs)
    for index, (number, place) in enumerate(places):
        graph = subgraphs[number]
        old = graph.tensors[graph.operators[place].inputs[1]]
        value = -_LARGEST if index == leave else _LARGEST
        bound = Tensor("", old.shape, old.type, np.full(old.shape, value, np.float32).tobytes())
        operators = list(graph.operators)
        operators[place] = replace(operators[place], inputs=(operators[place].inputs[0], len(graph.tensors)))
        subgraphs[number] = replace(graph, tensors=(*graph.tensors, bound), operators=tuple(operators))
    return replace(model, subgraphs=tuple(subgraphs))
