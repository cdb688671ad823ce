"""The user's metric on the source, on the graph that was exported, and on the artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.config import InputSettings
from edgekit.data.metrics import measure
from edgekit.ir import Graph
from edgekit.report import Evaluation
from edgekit.runtime.artifact import Artifact
from edgekit.stages.inputs import input_specs, to_graph_layout
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.verify import run_file, run_graph, run_source

Array = np.ndarray[Any, Any]


def evaluate(
    what: object,
    source: Graph,
    lowered: Graph,
    prepared: Prepared,
    artifact: bytes,
    settings: Mapping[str, InputSettings],
    root: Path | None,
) -> tuple[Evaluation, ...]:
    """One row per metric.

    Args:
        what: labelled data, or a callable ``predict -> {metric: value}``.
        source: the graph as it was loaded (its own module is run where it is at hand).
        lowered: the graph that was exported.
        prepared: how raw samples become what either takes.
        artifact: the file.
        settings: of the inputs, by name.
        root: folder that callables are imported from.

    Raises:
        InputError: the data does not fit, or the user's callable fails.
    """
    specs = input_specs(source, settings)
    file = Artifact(artifact)

    def on_source(raw: Sequence[Array]) -> Array:
        arrays = prepared.normalized(to_graph_layout(raw, source, settings))
        return (run_source(source, arrays) or run_graph(source, arrays)).arrays[0]

    def on_graph(raw: Sequence[Array]) -> Array:
        return run_graph(lowered, prepared.taken(to_graph_layout(raw, source, settings))).arrays[0]

    def on_artifact(raw: Sequence[Array]) -> Array:
        return run_file(file, lowered, to_graph_layout(raw, source, settings)).arrays[0]

    def users(predict: Any) -> Any:
        """What a user's callable is given: one array, or a tuple of them, to the first output."""
        return lambda x: predict([np.asarray(a) for a in x] if isinstance(x, tuple) else [np.asarray(x)])

    scores = [measure(p, what, specs, user_predict=users(p), root=root) for p in (on_source, on_graph, on_artifact)]
    return tuple(Evaluation(name, *(score.get(name) for score in scores)) for name in scores[0])
