"""The user's data as the graph takes it: specifications of the inputs, arrays, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgekit.config import InputSettings
from edgekit.data.check import InputSpec, raw_scale
from edgekit.data.sources import calibration_arrays, describe
from edgekit.errors import ConfigError
from edgekit.ir import Graph
from edgekit.ir.types import Batch, dtype_name
from edgekit.tables import did_you_mean

if TYPE_CHECKING:
    from edgekit.ir import Value

Array = np.ndarray[Any, Any]

#: Samples that run through a float graph at once: so many, or as many as keep its largest value below so many elements.
_AT_ONCE = 32
_ELEMENTS = 1 << 21

#: Where axis i of a sample in this layout goes in channels-first order.
_TO_CHANNELS_FIRST = {"NHWC": (0, 3, 1, 2), "NWC": (0, 2, 1)}


def settings_of(graph: Graph, inputs: Mapping[str, InputSettings]) -> dict[str, InputSettings]:
    """The declared settings by the graph's own input names; ``""`` in the request means the only input.

    Raises:
        ConfigError: an input that the model does not have, or an unnamed one where it has several.
    """
    names = [value.name for value in graph.inputs]
    found = {}
    for name, settings in inputs.items():
        if name == "" and len(names) == 1:
            name = names[0]
        if name not in names:
            what = (
                "settings for an unnamed input, but the model has several" if name == "" else f"the model has no input '{name}'"
            )
            raise ConfigError(what, where=f"[input.{name or 'NAME'}]", hint=did_you_mean(name, names))
        found[name] = settings
    return found


def input_specs(graph: Graph, settings: Mapping[str, InputSettings]) -> list[InputSpec]:
    """What one sample of every input looks like in the user's data."""
    specs = []
    for value in graph.inputs:
        given = settings.get(value.name, InputSettings())
        shape = value.type.at(1)[1:] if _stacked(value) else value.type.at(1)
        if given.layout in _TO_CHANNELS_FIRST:
            shape = (*shape[1:], shape[0])
        _, assumed = raw_scale(given)
        specs.append(
            InputSpec(value.name, dtype_name(value.type.dtype), shape, given.preprocesses, given.preprocesses and assumed)
        )
    return specs


def to_graph_layout(arrays: Sequence[Array], graph: Graph, settings: Mapping[str, InputSettings]) -> list[Array]:
    """Arrays with their axes in the graph's order."""
    moved = []
    for array, value in zip(arrays, graph.inputs, strict=True):
        order = _TO_CHANNELS_FIRST.get(settings.get(value.name, InputSettings()).layout or "")
        moved.append(np.ascontiguousarray(array.transpose(order)) if order else array)
    return moved


def load_samples(
    source: object, graph: Graph, settings: Mapping[str, InputSettings], root: Path | None, limit: int | None = None
) -> list[Array]:
    """Calibration samples of every input, in the graph's order of axes; InputError as ``calibration_arrays`` raises it."""
    return to_graph_layout(calibration_arrays(source, input_specs(graph, settings), root=root, limit=limit), graph, settings)


def synthetic_samples(graph: Graph, count: int) -> list[Array]:
    """Seeded random samples for comparing two executions where no data was given: standard normal floats, zeros and ones for
    others.
    """
    generator = np.random.default_rng(0)
    samples = []
    for value in graph.inputs:
        shape = value.type.at(count)
        if value.type.is_float:
            samples.append(generator.standard_normal(shape).astype(np.float32))
        else:
            samples.append(generator.integers(0, 2, shape).astype(dtype_name(value.type.dtype)))
    return samples


def batches(samples: Sequence[Array], graph: Graph) -> list[list[torch.Tensor]]:
    """Samples as graph inputs, some at a time; one at a time where the graph's batch is fixed at 1."""
    largest = max((v.type.numel() for v in graph.values() if not v.is_constant), default=1)
    at_once = max(1, min(_AT_ONCE, _ELEMENTS // max(largest, 1)))
    size = at_once if all(_stacked(v) for v in graph.inputs) else _fixed_batch(graph)
    count = len(samples[0])
    tensors = [torch.from_numpy(np.ascontiguousarray(s)) for s in samples]
    return [
        [t[start : start + size] for t in tensors]
        for start in range(0, count - count % size if size > 1 and not _stacked(graph.inputs[0]) else count, size)
    ]


def _stacked(value: Value) -> bool:
    return bool(value.type.shape) and isinstance(value.type.shape[0], Batch)


def _fixed_batch(graph: Graph) -> int:
    return max(int(v.type.at(1)[0]) if v.type.shape else 1 for v in graph.inputs)


def named(source: object) -> str:
    """How the data is called in the report."""
    return describe(source)
