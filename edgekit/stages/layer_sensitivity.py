"""What quantising each layer alone does to the outputs and to the user's metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import metrics
from edgekit.alone_errors import alone_graphs
from edgekit.compress.quantize.groups import COPIES
from edgekit.config import InputSettings
from edgekit.data.metrics import Labelled, measure
from edgekit.ir import Graph, Node
from edgekit.report import LayerSensitivity, SensitivityInfo
from edgekit.stages.evaluate import arranged
from edgekit.stages.feeding import batches, count_of, first
from edgekit.stages.inputs import input_specs, to_graph_layout
from edgekit.stages.precision import Lowered
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.verify import run_graph, with_logits

Array = np.ndarray[Any, Any]

#: Samples at most: for the outputs' error, and for the metrics of labelled data.
SAMPLES, LABELLED = 64, 1000


def layer_sensitivity(
    lowered: Lowered,
    prepared: Prepared,
    raw: Sequence[Array],
    evaluation: object | None,
    source: Graph,
    settings: Mapping[str, InputSettings],
    root: Path | None,
    say: Callable[[str], None] | None = None,
) -> SensitivityInfo:
    """Runs the float graph once for every layer, with this layer alone quantised.

    Args:
        lowered: the quantised graph and the float one.
        prepared: how raw samples become what they take.
        raw: samples, for the error of the outputs.
        evaluation: the user's data or callable, or None.
        source: the graph as it was loaded.
        settings: of the inputs, by name.
        root: folder that callables are imported from.
        say: is told of every layer.
    """
    samples = first(prepared.taken(list(raw)), lowered.graph, SAMPLES)
    wanted = run_graph(with_logits(lowered.float_graph), samples).joined()
    what, count = _some(evaluation)

    def scored(graph: Graph) -> dict[str, float]:
        def run(x: Sequence[Array]) -> list[Array]:
            return run_graph(graph, prepared.taken(to_graph_layout(x, source, settings))).arrays

        def user(x: object) -> object:
            arrays = run(arranged(x, [value.name for value in source.inputs]))
            return arrays[0] if len(arrays) == 1 else tuple(arrays)

        return (
            {}
            if what is None
            else measure(lambda x: run(x)[0], what, input_specs(source, settings), user_predict=user, root=root)
        )

    rows = []
    for node, graph in alone_graphs(lowered.float_graph, lowered.graph, batches(samples, lowered.graph)[0]):
        if isinstance(node.op, COPIES):
            continue  # it moves integers and rounds nothing
        if say is not None:
            say(f"sensitivity of {_label(node)}")
        error = metrics.sqnr_db(wanted, run_graph(with_logits(graph), samples).joined())
        rows.append(LayerSensitivity(node.name, _label(node), node.op.name, _dtype(node), error, scored(graph)))
    return SensitivityInfo(tuple(rows), count_of(samples, lowered.graph), count, scored(lowered.float_graph))


def _some(evaluation: object | None) -> tuple[object | None, int | None]:
    """At most ``LABELLED`` samples of labelled data, and how many; a callable as it is."""
    if evaluation is None:
        return None, 0
    if not isinstance(evaluation, Labelled):
        return evaluation, None
    some = replace(evaluation, inputs=[x[:LABELLED] for x in evaluation.inputs], labels=evaluation.labels[:LABELLED])
    return some, len(some.labels)


def _label(node: Node) -> str:
    """The module of a layer with weights, else the name of its value."""
    weighted = len(node.inputs) > 1 and node.inputs[1] is not None and node.input(1).is_constant and node.input(1).type.rank > 1
    return next((place.module for place in node.where if place.module), node.name) if weighted else node.name


def _dtype(node: Node) -> str:
    """The integers of its weight, else of its output."""
    constants = [v for v in node.inputs if v is not None and v.is_constant and v.quant is not None and v.quant.dtype != "int32"]
    quant = constants[0].quant if constants else node.output.quant
    return "float32" if quant is None else quant.dtype
