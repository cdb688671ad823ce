"""The file itself, run by LiteRT: what the graph and everything built from it is compared with."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from edgekit.formats.tflite.model import Model
from edgekit.formats.tflite.write import write
from edgekit.ir import Graph
from edgekit.ir.types import Batch
from edgekit.runtime.litert import LiteRT

Array = np.ndarray[Any, Any]


class SourceFile:
    """A .tflite file as a function of tensors: floats in, floats out, any number of samples.

    Quantised inputs and outputs are converted with the file's own parameters. State that the file keeps from call to call is
    reset before each. LiteRT loads it on the first call, and not the bytes of the file but what was read of them, written
    anew: a damaged file never reaches a runtime that trusts its files.
    """

    def __init__(self, model: Model, graph: Graph, samples: int = 1) -> None:
        """``samples``: how many the file takes at a time."""
        self._model = model
        self._at_once = samples
        self._batched = [value.type.has_batch for value in graph.inputs]
        self._rows = [next((d.multiple for d in v.shape if isinstance(d, Batch)), 1) for v in graph.inputs]

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The outputs, samples stacked."""
        arrays = [x.detach().cpu().numpy() for x in inputs]
        if not any(self._batched):
            results = self._one(arrays)
        else:
            counts = [len(a) // rows for a, batched, rows in zip(arrays, self._batched, self._rows, strict=True) if batched]
            count, size = min(counts), self._at_once
            parts = [self._one([self._samples(a, start, n) for n, a in enumerate(arrays)]) for start in range(0, count, size)]
            whole = [np.concatenate(column, 0) for column in zip(*parts, strict=True)]
            results = [array[: len(array) * count // (len(parts) * size)] for array in whole]
        tensors = tuple(torch.from_numpy(result) for result in results)
        return tensors[0] if len(tensors) == 1 else tensors

    @cached_property
    def _runner(self) -> LiteRT:
        return LiteRT(write(self._model, names="all"))

    def _samples(self, array: Array, start: int, place: int) -> Array:
        """As many samples as the file takes, the last one again where there are no more."""
        if not self._batched[place]:
            return array
        rows, size = self._rows[place], self._at_once
        part = array[start * rows : (start + size) * rows]
        return np.concatenate([part, *[part[-rows:]] * (size - len(part) // rows)], 0)

    def _one(self, arrays: list[Array]) -> list[Array]:
        self._runner.reset()
        given = [self._stored(a, info) for a, info in zip(arrays, self._runner.inputs, strict=True)]
        results = self._runner.invoke(given)
        return [self._real(r, info) for r, info in zip(results, self._runner.outputs, strict=True)]

    @staticmethod
    def _stored(array: Array, info: Any) -> Array:
        kind = np.dtype(info.dtype)
        if info.scale is None or kind.kind == "f":
            return np.ascontiguousarray(array.astype(kind).reshape(info.shape))
        limits = np.iinfo(kind)
        integers = np.rint(array.astype(np.float32) / np.float32(info.scale)) + info.zero_point
        return np.ascontiguousarray(integers.clip(limits.min, limits.max).astype(kind).reshape(info.shape))

    @staticmethod
    def _real(array: Array, info: Any) -> Array:
        if info.scale is None:
            return array
        real: Array = ((array.astype(np.int64) - info.zero_point) * np.float32(info.scale)).astype(np.float32)
        return real


def source_of(model: Model, graph: Graph, samples: int = 1) -> SourceFile | None:
    """The file as a function; None where LiteRT is missing, or where the graph has other inputs (state)."""
    main = model.main
    same = len(main.inputs) == len(graph.inputs) and len(main.outputs) == len(graph.outputs)
    return SourceFile(model, graph, samples) if same and find_spec("ai_edge_litert") is not None else None
