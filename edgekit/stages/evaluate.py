"""The user's metric on the source, on the graph that was exported, and on the artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.config import InputSettings
from edgekit.data.metrics import Labelled, measure, read_once
from edgekit.errors import InputError
from edgekit.ir import Graph
from edgekit.report import Evaluation
from edgekit.runtime.artifact import Artifact, nest
from edgekit.stages.feeding import first
from edgekit.stages.inputs import input_specs, synthetic_samples, to_graph_layout
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.verify import SAMPLES, run_file, run_graph, run_source

Array = np.ndarray[Any, Any]

#: Random samples where no data was given.
_SYNTHETIC = 16


def read(what: object, source: Graph, settings: Mapping[str, InputSettings], root: Path | None) -> object:
    """The user's labelled data, read once for all targets and all forms of the model; a callable as it is.

    Raises:
        InputError: the data does not fit.
    """
    return read_once(what, input_specs(source, settings), root=root)


def verification_samples(
    calibration: list[Array] | None, evaluation: object | None, source: Graph, settings: Mapping[str, InputSettings]
) -> tuple[list[Array], bool]:
    """Inputs to compare the artifact on, in the graph's order of axes: the calibration's, else the evaluation's, else random
    ones; and whether they are the user's.
    """
    if calibration is not None:
        return calibration, True
    if isinstance(evaluation, Labelled):
        return first(to_graph_layout(evaluation.inputs, source, settings), source, SAMPLES), True
    return synthetic_samples(source, _SYNTHETIC), False


def evaluate(
    what: object,
    source: Graph,
    lowered: Graph,
    prepared: Prepared,
    artifact: bytes,
    settings: Mapping[str, InputSettings],
    root: Path | None,
    max_drop: float | None = None,
) -> tuple[Evaluation, ...]:
    """One row per metric. A user's callable is given ``predict``, which takes inputs and gives outputs as ``edgekit.run`` does.

    Args:
        what: labelled data, best as :func:`read` gives it, or a callable ``predict -> {metric: value}``.
        source: the graph as it was loaded (its own module is run where it is at hand).
        lowered: the graph that was exported.
        prepared: how raw samples become what either takes.
        artifact: the file.
        settings: of the inputs, by name.
        root: folder that callables are imported from.
        max_drop: percentage points that the first metric, a share of which more is better, may lose from source to artifact.

    Raises:
        InputError: the data does not fit, the user's callable fails, or ``max_drop`` is given for what is no share.
    """
    if max_drop is not None and isinstance(what, Labelled) and what.labels.dtype.kind == "f":
        raise InputError(
            "'max_drop' is in percentage points of a share, these labels are numbers",
            where=what.where,
            hint="a callable predict -> {metric: share}, or a target with a [parity] floor of its own",
        )
    specs = input_specs(source, settings)
    file = Artifact(artifact)
    names = [value.name for value in source.inputs]

    def on_source(raw: Sequence[Array]) -> list[Array]:
        arrays = prepared.normalized(to_graph_layout(raw, source, settings))
        return (run_source(source, arrays) or run_graph(source, arrays)).arrays

    def on_graph(raw: Sequence[Array]) -> list[Array]:
        return run_graph(lowered, prepared.taken(to_graph_layout(raw, source, settings))).arrays

    def on_artifact(raw: Sequence[Array]) -> list[Array]:
        return run_file(file, lowered, to_graph_layout(raw, source, settings)).arrays

    def scored(run: Callable[[Sequence[Array]], list[Array]]) -> dict[str, float]:
        def user_predict(x: object) -> object:
            return nest(file.record.structure, run(arranged(x, names)))

        return measure(lambda raw: run(raw)[0], what, specs, user_predict=user_predict, root=root)

    before, after, written = (scored(run) for run in (on_source, on_graph, on_artifact))
    if max_drop is not None:
        _require_share(next(iter(before)), before, written)
    return tuple(
        Evaluation(name, before[name], after.get(name), written.get(name), max_drop if index == 0 else None)
        for index, name in enumerate(before)
    )


def _require_share(name: str, before: Mapping[str, float], written: Mapping[str, float]) -> None:
    """A limit in points is of a share: an error (less is better), or a figure that is missing, would never exceed it.

    Raises:
        InputError: the metric is not from 0 to 1 for the source, or was not measured on the artifact.
    """
    if not 0 <= before[name] <= 1:
        raise InputError(
            f"'max_drop' is in percentage points of a share, and '{name}' is {before[name]:g} for the source",
            where="--evaluate",
            hint="give a share from 0 to 1 of which more is better as the first metric",
        )
    if name not in written:
        raise InputError(
            f"'max_drop' limits '{name}', which was measured on the source and not on the artifact",
            where="--evaluate",
            hint="a callable that gives the same metrics whatever `predict` is",
        )


def arranged(x: object, names: Sequence[str]) -> list[Array]:
    """What a user's metric passes to ``predict``, an array an input: one array, a tuple (or list) of them, or a dict by name.

    Raises:
        InputError: other names, or another number of arrays.
    """
    if isinstance(x, Mapping):
        if set(x) != set(names):
            given = ", ".join(map(str, x))
            raise InputError(f"predict was given the inputs {given}", where="--evaluate", hint=f"they are {', '.join(names)}")
        return [np.asarray(x[name]) for name in names]
    several = isinstance(x, tuple) or (isinstance(x, list) and len(names) > 1)
    arrays = [np.asarray(a) for a in x] if several else [np.asarray(x)]  # type: ignore[attr-defined]
    if len(arrays) != len(names):
        raise InputError(
            f"predict was given {len(arrays)} arrays for {len(names)} inputs",
            where="--evaluate",
            hint=f"predict(({', '.join(names)}))",
        )
    return arrays
