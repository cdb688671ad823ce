"""A file with branches as one flat subgraph: what it computes where every branch is taken, its greatest cost."""

from __future__ import annotations

from dataclasses import replace

from edgekit.formats.tflite.model import Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator


def inlined(model: Model) -> Subgraph:
    """The main subgraph with both branches of every IF written out in front of it.

    Inputs of a branch are the tensors that the IF hands it; the IF reads its condition and what both branches give. A file
    without IF gives its main subgraph itself; bodies of loops stay where they are.
    """
    if not any(operator.code == BuiltinOperator.IF for operator in model.main.operators):
        return model.main
    tensors = list(model.main.tensors)
    operators = _written_out(model, model.main, tensors, {index: index for index in range(len(tensors))})
    return replace(model.main, tensors=tuple(tensors), operators=tuple(operators))


def _written_out(model: Model, graph: Subgraph, tensors: list[Tensor], place: dict[int, int]) -> list[Operator]:
    """The operators of a subgraph whose tensors stand at ``place`` in ``tensors``, to which those of branches are added."""
    written: list[Operator] = []
    for operator in graph.operators:
        inputs = tuple(place.get(index, index) for index in operator.inputs)
        outputs = tuple(place[index] for index in operator.outputs)
        if operator.code == BuiltinOperator.IF:
            fields = operator.options.fields if operator.options else {}
            results: list[int] = []
            for name in ("then_subgraph_index", "else_subgraph_index"):
                number = int(fields.get(name, 0))  # type: ignore[arg-type]
                if 0 < number < len(model.subgraphs):
                    results += _branch(model, model.subgraphs[number], tensors, inputs[1:], written)
            inputs = (inputs[0], *results)
        written.append(replace(operator, inputs=inputs, outputs=outputs))
    return written


def _branch(
    model: Model, graph: Subgraph, tensors: list[Tensor], given: tuple[int, ...], written: list[Operator]
) -> tuple[int, ...]:
    """Writes a branch out; where its results stand."""
    place = dict(zip(graph.inputs, given, strict=False))
    for index, tensor in enumerate(graph.tensors):
        if index not in place:
            place[index] = len(tensors)
            tensors.append(tensor)
    written += _written_out(model, graph, tensors, place)
    return tuple(place[index] for index in graph.outputs)
