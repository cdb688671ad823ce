"""Which type every input and output of the artifact has: what was asked for, as far as the target can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.config import BuildRequest, InputSettings
from edgekit.errors import ConfigError
from edgekit.ir import Graph
from edgekit.tables import did_you_mean
from edgekit.target import IoType, Target

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class IoTypes:
    """Types by name of input and of output, and what was asked for in vain."""

    inputs: Mapping[str, IoType]
    outputs: Mapping[str, IoType]
    warnings: tuple[str, ...] = field(default=())

    def floats(self) -> frozenset[str]:
        """Inputs and outputs that stay float32 in the file."""
        return frozenset(name for name, kind in [*self.inputs.items(), *self.outputs.items()] if kind == "float32")

    def integers(self) -> dict[str, str]:
        """What the quantiser makes of the others: bytes are signed until the end."""
        kinds = [*self.inputs.items(), *self.outputs.items()]
        return {name: "int8" if kind == "uint8" else kind for name, kind in kinds if kind != "float32"}

    def unsigned(self) -> frozenset[str]:
        """Inputs and outputs that are uint8."""
        return frozenset(name for name, kind in [*self.inputs.items(), *self.outputs.items()] if kind == "uint8")


def io_types(graph: Graph, target: Target, request: BuildRequest, settings: Mapping[str, InputSettings]) -> IoTypes:
    """The type of every input and output: its own setting, else the build's, else the target's.

    Args:
        graph: as it was loaded.
        target: float targets, and ONNX files, have float32 inputs and outputs only.
        request: ``io`` and the settings of outputs.
        settings: of the inputs, by name.

    Raises:
        ConfigError: settings for an output that the model does not have.
    """
    names = [value.name for value in graph.outputs]
    for name in request.outputs:
        if name not in names:
            raise ConfigError(f"the model has no output '{name}'", where=f"[output.{name}]", hint=did_you_mean(name, names))
    asked_in = {v.name: settings.get(v.name, InputSettings()).io for v in graph.inputs if v.type.is_float}
    asked_out = {
        v.name: request.outputs[v.name].io if v.name in request.outputs else None for v in graph.outputs if v.type.is_float
    }
    default = request.io or target.quantization.io
    if target.quantization.needs_calibration and target.exporter != "onnx":
        return IoTypes({n: io or default for n, io in asked_in.items()}, {n: io or default for n, io in asked_out.items()})
    asked = [request.io, *asked_in.values(), *asked_out.values()]
    vain = sorted({io for io in asked if io not in (None, "float32")})
    reason = "onnx files keep float inputs and outputs" if target.exporter == "onnx" else "the target computes in float"
    warnings = tuple(f"inputs and outputs are float32, not {io} as asked: {reason}" for io in vain)
    return IoTypes(dict.fromkeys(asked_in, "float32"), dict.fromkeys(asked_out, "float32"), warnings)


def byte_inputs(types: IoTypes, graph: Graph, samples: Sequence[Array] | None) -> frozenset[str]:
    """Integer inputs whose samples are bytes: whole numbers from 0 to 255."""
    if samples is None:
        return frozenset()
    floats = types.floats()
    return frozenset(
        value.name
        for value, array in zip(graph.inputs, samples, strict=True)
        if value.name in types.inputs and value.name not in floats and _are_bytes(array)
    )


def _are_bytes(array: Array) -> bool:
    return bool(array.min() >= 0 and array.max() <= 255 and np.array_equal(array, np.rint(array)))
