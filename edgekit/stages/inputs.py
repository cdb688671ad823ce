"""The user's data: what one sample of every input looks like, and samples in the graph's order of axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.config import InputSettings, is_unnamed
from edgekit.data.check import InputSpec, raw_scale
from edgekit.data.sources import calibration_arrays, describe
from edgekit.errors import ConfigError
from edgekit.ir import Graph, Value
from edgekit.ir.channel_axis import channel_axis
from edgekit.ir.types import dtype_name
from edgekit.stages.feeding import sample_shape, stacking
from edgekit.tables import did_you_mean

Array = np.ndarray[Any, Any]

#: Where axis i of a sample in this layout goes in channels-first order.
_TO_CHANNELS_FIRST = {"NHWC": (0, 3, 1, 2), "NWC": (0, 2, 1)}


def settings_of(graph: Graph, inputs: Mapping[str, InputSettings]) -> dict[str, InputSettings]:
    """The declared settings by the graph's own input names; unnamed ones belong to the inputs that no other key names.

    Raises:
        ConfigError: an input that the model does not have, or preprocessing for an unnamed one where there are several.
    """
    names = [value.name for value in graph.inputs]
    found, left = {}, [name for name in names if name not in inputs]
    for name, settings in inputs.items():
        if is_unnamed(name):
            place = "[input.NAME]"
            if settings.preprocesses and len(names) > 1:
                what = "settings for an unnamed input, but the model has several"
                raise ConfigError(what, where=place, hint=did_you_mean("", names))
            if not left:
                raise ConfigError(
                    f"more inputs are described than the model has ({len(names)})", where=place, hint=did_you_mean("", names)
                )
            name = left.pop(0)
        if name not in names:
            raise ConfigError(f"the model has no input '{name}'", where=f"[input.{name}]", hint=did_you_mean(name, names))
        found[name] = settings
    return found


def input_specs(graph: Graph, settings: Mapping[str, InputSettings]) -> list[InputSpec]:
    """What one sample of every input looks like in the user's data."""
    specs = []
    for value in graph.inputs:
        given = settings.get(value.name, InputSettings())
        shape = sample_shape(value, graph)
        if _order(value, given):
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
        order = _order(value, settings.get(value.name, InputSettings()))
        moved.append(np.ascontiguousarray(array.transpose(order)) if order else array)
    return moved


def _order(value: Value, settings: InputSettings) -> tuple[int, ...] | None:
    """How the axes of the user's samples move, None where they stand as the graph has them (one from a channels-last source
    has its inputs channels-last too).
    """
    return _TO_CHANNELS_FIRST.get(settings.layout or "") if channel_axis(value) == 1 else None


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
        shape = (count * stacking(value, graph)[1], *sample_shape(value, graph))
        if value.type.is_float:
            samples.append(generator.standard_normal(shape).astype(np.float32))
        else:
            samples.append(generator.integers(0, 2, shape).astype(dtype_name(value.type.dtype)))
    return samples


def named(source: object) -> str:
    """How the data is called in the report."""
    return describe(source)
