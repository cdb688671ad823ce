"""The file itself, run by ONNX Runtime: what the graph and everything built from it is compared with."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.ir import Graph
from edgekit.ir.types import Batch
from edgekit.runtime.onnx_runtime import OnnxRuntime

Array = np.ndarray[Any, Any]


class SourceFile:
    """An .onnx file as a function of tensors, any number of samples.

    ONNX Runtime loads it on the first call: what was read and checked, written anew; a file with external data from its path.
    """

    #: Where weights are integers and activations floats, it computes with the floats that they stand for.
    floats_beside_integers = True

    def __init__(self, model: Any, path: Path, graph: Graph, *, one_by_one: bool) -> None:
        """``one_by_one``: the file takes one sample a call, and the graph any number."""
        self._model, self._path, self._one_by_one = model, path, one_by_one
        self._inputs = [value.type for value in graph.inputs]
        self._outputs = [value.type for value in graph.outputs]

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The outputs, samples stacked."""
        arrays = [x.detach().cpu().numpy() for x in inputs]
        if self._one_by_one:
            count = min(_samples(a, t.shape) for a, t in zip(arrays, self._inputs, strict=True))
            each = [
                self._runtime.invoke([_part(a, t.shape, n) for a, t in zip(arrays, self._inputs, strict=True)])
                for n in range(count)
            ]
            rows = zip(zip(*each, strict=True), self._outputs, strict=True)
            results = [np.concatenate(parts, _axis(t.shape) or 0) for parts, t in rows]
        else:
            results = self._runtime.invoke(arrays)
        tensors = tuple(torch.from_numpy(np.asarray(result)) for result in results)
        return tensors[0] if len(tensors) == 1 else tensors

    @cached_property
    def _runtime(self) -> OnnxRuntime:
        external = any(tensor.data_location == 1 for tensor in self._model.graph.initializer)
        return OnnxRuntime(self._path if external else self._model.SerializeToString())


def source_of(model: Any, path: Path, graph: Graph, *, one_by_one: bool) -> SourceFile | None:
    """The file as a function; None where ONNX Runtime is missing."""
    return SourceFile(model, path, graph, one_by_one=one_by_one) if find_spec("onnxruntime") is not None else None


def _axis(shape: tuple[Any, ...]) -> int | None:
    return next((axis for axis, dim in enumerate(shape) if isinstance(dim, Batch)), None)


def _samples(array: Array, shape: tuple[Any, ...]) -> int:
    axis = _axis(shape)
    return 2**31 if axis is None else array.shape[axis] // shape[axis].multiple


def _part(array: Array, shape: tuple[Any, ...], sample: int) -> Array:
    axis = _axis(shape)
    if axis is None:
        return array
    rows = shape[axis].multiple
    return array.take(range(sample * rows, (sample + 1) * rows), axis)
