"""The paths through a file with early exits, each as a file that takes no other: for costs that depend on the sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.formats.exit_rates import EXITS_KEY, ExitRates
from edgekit.formats.tflite.model import Model, Operator, Options, Subgraph, Tensor
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


def telling(data: bytes) -> tuple[bytes, int] | None:
    """The file with one more output, the last: which exit answered, as one int32; and how many exits it has. None for a file
    without such a chain.

    Each branch of an IF gives its number beside the answer, so it is the very decision that the file takes, in any runtime.

    Raises:
        InputError: not a TFLite file, or a damaged one.
    """
    model = read(data)
    places = _chain(model)
    return (write(_telling(model, [number for number, _ in places]), names="all"), len(places) + 1) if places else None


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


def _telling(model: Model, numbers: list[int]) -> Model:
    """The model whose branches give the number of their exit; ``numbers`` are the subgraphs in which IFs stand."""
    subgraphs = list(model.subgraphs)
    for index, number in reversed(list(enumerate(numbers))):
        choice = next(o for o in subgraphs[number].operators if o.code == BuiltinOperator.IF)
        assert choice.options is not None
        then, otherwise = (int(choice.options.fields[f"{way}_subgraph_index"]) for way in ("then", "else"))  # type: ignore[arg-type]
        subgraphs[then] = _saying(subgraphs[then], index)
        if index == len(numbers) - 1:
            subgraphs[otherwise] = _saying(subgraphs[otherwise], index + 1)
        graph = subgraphs[number]
        told = len(graph.tensors)
        operators = [replace(o, outputs=(*o.outputs, told)) if o is choice else o for o in graph.operators]
        tensors = (*graph.tensors, Tensor("", (1,), TensorType.INT32))
        subgraphs[number] = replace(graph, tensors=tensors, operators=tuple(operators), outputs=(*graph.outputs, told))
    return replace(model, subgraphs=tuple(subgraphs))


def _saying(graph: Subgraph, exit: int) -> Subgraph:
    """A branch with a number as its last output, computed: a branch can't give a constant."""
    at = len(graph.tensors)
    constants = (Tensor("", (1,), TensorType.INT32, np.array([value], np.int32).tobytes()) for value in (exit, 0))
    tensors = (*graph.tensors, *constants, Tensor("", (1,), TensorType.INT32))
    add = Operator(BuiltinOperator.ADD, (at, at + 1), (at + 2,), Options("AddOptions"))
    return replace(graph, tensors=tensors, operators=(*graph.operators, add), outputs=(*graph.outputs, at + 2))


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
