"""The recipe of a build: its steps on the graph, with the user's data as the graph takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.compress.application import apply_steps
from edgekit.compress.gauging.candidate import FileMaker
from edgekit.compress.steps import Step
from edgekit.config import InputSettings, is_reference
from edgekit.data import Data, evaluation_arrays, training_arrays
from edgekit.data.check import checked
from edgekit.data.sources import describe
from edgekit.errors import EdgekitError
from edgekit.ir import Graph
from edgekit.output import STATE_FOLDER
from edgekit.reference import call, load_reference
from edgekit.stages.inputs import input_specs, to_graph_layout
from edgekit.stages.preprocessing import affine_of
from edgekit.train.samples import Preprocessed
from edgekit.train.stream import is_stream

Array = np.ndarray[Any, Any]

#: Where the work is kept, inside the output folder.
FOLDER = Path(STATE_FOLDER) / "recipe"


class _Declared:
    """The declared preprocessing of all inputs: raw arrays in the user's layout to what the graph takes."""

    def __init__(self, graph: Graph, settings: Mapping[str, InputSettings]) -> None:
        self.graph, self.settings = graph, settings
        self.specs = input_specs(graph, settings)
        self.affine = {v.name: affine_of(v, settings.get(v.name, InputSettings())) for v in graph.inputs}

    @property
    def is_nothing(self) -> bool:
        """Data is as the graph takes it."""
        return not any(settings.preprocesses for settings in self.settings.values())

    def __call__(self, raw: Sequence[Array]) -> list[Array]:
        """Checked raw arrays as the graph takes them."""
        return self.normalized(to_graph_layout(raw, self.graph, self.settings))

    def normalized(self, arrays: Sequence[Array]) -> list[Array]:
        """The same for arrays in the graph's order of axes."""
        applied = []
        for array, value in zip(arrays, self.graph.inputs, strict=True):
            affine = self.affine[value.name]
            applied.append(array if affine is None else affine.apply(array))
        return applied

    def batch(self, raw: Sequence[Array], where: str) -> list[Array]:
        """The same for arrays that nobody has checked."""
        return self([checked(array, spec, where) for array, spec in zip(raw, self.specs, strict=True)])


class _Judge:
    """The user's evaluation callable, for a prediction function that takes what the graph takes."""

    def __init__(self, function: Callable[..., object], declared: _Declared, identity: object) -> None:
        self._function, self._declared, self.identity = function, declared, identity

    def __call__(self, predict: Callable[..., object]) -> object:
        def raw_predict(x: Any) -> object:
            arrays = [np.asarray(a) for a in x] if isinstance(x, tuple) else [np.asarray(x)]
            taken = self._declared.batch(arrays, describe(self.identity))
            return predict(tuple(taken) if len(taken) > 1 else taken[0])

        return self._function(raw_predict)


def compress(
    steps: Sequence[Step],
    graph: Graph,
    settings: Mapping[str, InputSettings],
    *,
    train: object | None,
    samples: Sequence[Array] | None,
    evaluation: object | None,
    output: Path,
    root: Path,
    say: Callable[[str], None],
    file: FileMaker | None = None,
) -> Graph:
    """The graph after the recipe. The work is kept in the output folder until another recipe is built there.

    Args:
        steps: of the recipe.
        graph: as it was loaded.
        settings: of the inputs, by name.
        train: training data as the user gave it, or None.
        samples: calibration samples, raw and in the graph's order of axes.
        evaluation: the user's evaluation data or callable, or None.
        output: folder of the build.
        root: folder that callables are imported from.
        say: is told what goes on.
        file: writes a candidate as the build would, for budgets that are measured.

    Raises:
        EdgekitError: what the data or a step raises.
    """
    declared = _Declared(graph, settings)
    calibration = None if samples is None else tuple(declared.normalized(samples))
    data = Data(_training(train, declared, root), calibration, _judged(evaluation, declared, root))
    try:
        return apply_steps(steps, graph, data, folder=output / FOLDER, root=root, say=say, tidy=True, file=file)
    except EdgekitError as error:
        if train is None and "data" in error.what and error.hint:
            error.hint = 'train = "data.npz" in edgekit.toml names the training data'
        raise


def _training(source: object | None, declared: _Declared, root: Path) -> object | None:
    """Training data as the graph takes it.

    A callable is called here, whatever steps are finished already: what it gives tells whether they still hold, and the files
    that it opens belong to the build.
    """
    if source is None:
        return None
    name = describe(source)
    if isinstance(source, str) and is_reference(source):
        value = load_reference(source, root)
        source = call(value, what=f"'{source}'", root=root) if callable(value) and not is_stream(value) else value
    if declared.is_nothing:
        return source
    if is_stream(source):
        names = tuple(spec.name for spec in declared.specs)
        return Preprocessed(source, lambda raw: declared.batch(raw, name), names)
    arrays, labels = training_arrays(source, declared.specs, root=root)
    return (tuple(declared(arrays)), labels)


def _judged(source: object | None, declared: _Declared, root: Path) -> object | None:
    """Evaluation data or a callable, likewise."""
    if source is None or declared.is_nothing:
        return source
    target = load_reference(source, root) if isinstance(source, str) and is_reference(source) else source
    if callable(target) and not hasattr(target, "__array__"):
        return _Judge(target, declared, source)
    arrays, labels = evaluation_arrays(target, declared.specs, root=root)
    return (*declared(arrays), labels)


__all__ = ["FOLDER", "compress"]
