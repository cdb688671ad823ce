"""Declared preprocessing as part of the graph: raw input in, what the model wants out.

A raw value v becomes ``(v / scale - mean) / std`` per channel. That is one depthwise 1x1 convolution on the raw input: one
rounding in integers, and exact. Where the numbers are the same for all channels and the zero lies on an integer, the integer
file needs no op at all: the raw byte is the input's integer, with scale 1 / (scale * std) and zero point mean * scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from edgekit.config import InputSettings
from edgekit.data.check import raw_scale
from edgekit.errors import ConfigError
from edgekit.formats.io_metadata import Preprocessing
from edgekit.ir import Graph, QuantParams, Value, ops
from edgekit.ir.channel_axis import channel_axis

#: A raw byte as int8: the byte less 128.
_BYTE = QuantParams("int8", (1.0,), (-128,))


@dataclass(frozen=True)
class Affine:
    """``factor * raw + offset`` per channel (or one number for all); ``axis`` is where the channels stand."""

    factor: tuple[float, ...]
    offset: tuple[float, ...]
    axis: int = 1

    @property
    def uniform(self) -> bool:
        """The same numbers for all channels."""
        return len(set(self.factor)) == 1 and len(set(self.offset)) == 1

    def byte_params(self) -> QuantParams | None:
        """Quantisation under which the raw byte is the integer, if the real zero falls on one; None otherwise."""
        if not self.uniform:
            return None
        zero = -self.offset[0] / self.factor[0]
        if abs(zero - round(zero)) > 1e-4 or not 0 <= round(zero) <= 255 or self.factor[0] <= 0:
            return None
        return QuantParams("uint8", (self.factor[0],), (round(zero),))

    def apply(self, raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Raw samples as the model wants them, float32."""
        shape = [1] * raw.ndim
        if len(self.factor) > 1:
            shape[self.axis] = -1
        factor, offset = (np.asarray(numbers, np.float64).reshape(shape) for numbers in (self.factor, self.offset))
        return (raw.astype(np.float64) * factor + offset).astype(np.float32)


@dataclass(frozen=True)
class Prepared:
    """A graph that takes raw inputs.

    ``affine``: the function of every input that has one. ``folded``: those whose function is the input's own quantisation
    (int8 parameters); the graph takes them normalised. The others are computed by the graph's first op; ``bytes`` are the
    parameters of those whose raw values are bytes. ``declared``: for the artifact's record.
    """

    graph: Graph
    affine: Mapping[str, Affine] = field(default_factory=dict)
    folded: Mapping[str, QuantParams] = field(default_factory=dict)
    bytes: Mapping[str, QuantParams] = field(default_factory=dict)
    declared: Mapping[str, Preprocessing] = field(default_factory=dict)

    def normalized(self, raw: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Samples as the source takes them."""
        names = [v.name for v in self.graph.inputs]
        return [self.affine[n].apply(a) if n in self.affine else a for n, a in zip(names, raw, strict=True)]

    def taken(self, raw: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Samples as ``graph`` takes them."""
        names = [v.name for v in self.graph.inputs]
        out = []
        for name, array in zip(names, raw, strict=True):
            if name in self.folded:
                out.append(self.affine[name].apply(array))
            else:
                out.append(array.astype(np.float32) if name in self.affine else array)
        return out


def affine_of(value: Value, settings: InputSettings) -> Affine | None:
    """The declared arithmetic of one input, None where there is none (only a layout, or nothing).

    Raises:
        ConfigError: more numbers than channels, or preprocessing of an input that is not float.
    """
    if settings.scale is None and settings.mean is None and settings.std is None:
        return None
    where = f"[input.{value.name}]"
    if not value.type.is_float:
        raise ConfigError(
            f"preprocessing is declared for input '{value.name}', which is {value.type}",
            where=where,
            hint="remove scale, mean and std there",
        )
    axis = channel_axis(value)
    channels = value.tensor_shape[axis] if value.type.rank > 2 else 1
    scale, _ = raw_scale(settings)
    mean, std = _numbers(settings.mean, 0.0), _numbers(settings.std, 1.0)
    count = max(len(mean), len(std))
    if count not in (1, channels):
        raise ConfigError(
            f"{count} numbers of mean or std for {channels} channels", where=where, hint="one for all, or one per channel"
        )
    mean, std = (numbers * count if len(numbers) == 1 else numbers for numbers in (mean, std))
    factor = tuple(1.0 / (scale * s) for s in std)
    return Affine(factor, tuple(-m / s for m, s in zip(mean, std, strict=True)), axis)


def prepare(graph: Graph, settings: Mapping[str, InputSettings], *, bytes_in: Collection[str]) -> Prepared:
    """A copy of the graph that takes raw inputs; the graph itself where nothing is declared.

    Args:
        graph: as it was loaded.
        settings: by input name.
        bytes_in: inputs that are 8-bit in the artifact and whose raw values are bytes: a fitting function needs no op.

    Raises:
        ConfigError: the declared numbers do not fit the input.
    """
    affine = {v.name: a for v in graph.inputs if (a := affine_of(v, settings.get(v.name, InputSettings()))) is not None}
    folded = {}
    for name, function in affine.items():
        params = function.byte_params() if name in bytes_in else None
        if params is not None:
            folded[name] = QuantParams("int8", params.scale, (params.zero_point[0] - 128,))
    declared = {name: _record(s, name in folded) for name, s in settings.items() if s.preprocesses}
    as_bytes = {name: _BYTE for name in affine if name in bytes_in and name not in folded}
    if not set(affine) - set(folded):
        return Prepared(graph, affine, folded, as_bytes, declared)
    out = graph.copy()
    for value in out.inputs:
        if value.name in affine and value.name not in folded:
            _insert(out, value, affine[value.name])
    return Prepared(out, affine, folded, as_bytes, declared)


def _record(settings: InputSettings, folded: bool) -> Preprocessing:
    mean = () if settings.mean is None else _numbers(settings.mean, 0.0)
    std = () if settings.std is None else _numbers(settings.std, 1.0)
    return Preprocessing(raw_scale(settings)[0], mean, std, settings.layout or "", by_quantization=folded)


def _insert(graph: Graph, value: Value, affine: Affine) -> None:
    """Puts the affine op between an input and its readers; the input keeps its name."""
    readers = list(value.users)
    first = graph.nodes[0]
    name = f"{value.name}.normalized"
    rank = value.type.rank
    if rank in (3, 4):
        channels = value.tensor_shape[affine.axis]
        spatial = rank - 2
        to_first, to_last = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
        factor = torch.tensor(affine.factor, dtype=torch.float32).expand(channels).reshape(channels, 1, *[1] * spatial)
        offset = torch.tensor(affine.offset, dtype=torch.float32).expand(channels)
        kind = ops.Conv2d if rank == 4 else ops.Conv1d
        op: ops.Op = kind(stride=(1,) * spatial, padding=((0, 0),) * spatial, dilation=(1,) * spatial, groups=channels)
        weight = graph.constant(factor.contiguous().clone(), f"{name}.factor")
        bias = graph.constant(offset.contiguous().clone(), f"{name}.offset")
        if affine.axis == 1:
            result = graph.add(op, value, weight, bias, name=name, before=first)
        else:  # around the op; the transposes cancel those that the readers begin with
            turned = graph.add(ops.Permute(to_first), value, name=f"{name}.channels_first", before=first)
            made = graph.add(op, turned, weight, bias, name=f"{name}.product", before=first)
            result = graph.add(ops.Permute(to_last), made, name=name, before=first)
    else:
        factor_value = graph.constant(torch.tensor(affine.factor[0]), f"{name}.factor")
        scaled = graph.add(ops.Mul(), value, factor_value, name=f"{name}.scaled", before=first)
        result = graph.add(
            ops.Add(), scaled, graph.constant(torch.tensor(affine.offset[0]), f"{name}.offset"), name=name, before=first
        )
    for node in readers:
        for index, seen in enumerate(node.inputs):
            if seen is value:
                graph.set_input(node, index, result)
    graph.outputs = [result if v is value else v for v in graph.outputs]


def _numbers(value: float | tuple[float, ...] | None, default: float) -> tuple[float, ...]:
    if value is None:
        return (default,)
    return value if isinstance(value, tuple) else (value,)


__all__ = ["Affine", "Prepared", "affine_of", "prepare"]
