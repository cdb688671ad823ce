"""One side of a comparison: a graph or an artifact, fed with stacked samples in the source's layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config import parse_input_shape
from edgekit.data.check import InputSpec
from edgekit.errors import InputError
from edgekit.formats.io_metadata import Preprocessing, TensorIo
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import Kernels

if TYPE_CHECKING:
    import torch

    from edgekit.ir.graph import Graph

Array = NDArray[Any]

_ARTIFACTS = (".tflite", ".onnx")


@dataclass(frozen=True)
class Side:
    """What can be run on samples.

    Attributes:
        name: for the reader.
        specs: its inputs: shapes of one sample in the source's order of axes.
        outputs: names of its outputs.
        run: stacked samples in, one stacked array an output.
        graph: where it is one.
        preprocessing: for each input that takes raw values, the function from them to what the model itself takes.
    """

    name: str
    specs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    run: Callable[[Sequence[Array]], list[Array]]
    graph: Graph | None = None
    preprocessing: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)

    @property
    def takes_raw(self) -> bool:
        """It preprocesses an input itself."""
        return bool(self.preprocessing)


def open_side(
    model: Any,
    *,
    kernels: Kernels,
    root: Path,
    weights: str | Path | None,
    input_shapes: Sequence[str] | None,
    example_inputs: Any,
) -> Side:
    """A graph, a module, a callable's name, or a file, ready to run; errors as ``ek.load`` and ``ek.run`` raise them."""
    if isinstance(model, str | Path) and Path(model).suffix.lower() in _ARTIFACTS:
        return _artifact(Path(model), kernels, input_shapes or ())
    if hasattr(model, "nodes") and hasattr(model, "module"):
        return _graph(model, model.name)
    from edgekit.frontend.source import load

    graph = load(model, example_inputs, weights=weights, input_shapes=input_shapes, root=root)
    return _graph(graph, str(model) if isinstance(model, str | Path) else graph.name)


def _graph(graph: Graph, name: str) -> Side:
    from edgekit.ir.types import dtype_name
    from edgekit.stages.feeding import at_once, run, sample_shape

    def execute(arrays: Sequence[Array]) -> list[Array]:
        import torch

        module = graph.module().eval()

        def once(batch: list[Array]) -> list[Array]:
            return [_numpy(tensor) for tensor in module.run([torch.from_numpy(array) for array in batch])]

        with torch.no_grad():
            return run(once, arrays, graph, at_once(graph)).arrays

    specs = tuple(InputSpec(v.name, dtype_name(v.type.dtype), sample_shape(v, graph)) for v in graph.inputs)
    return Side(name, specs, tuple(v.name for v in graph.outputs), execute, graph)


def _numpy(tensor: torch.Tensor) -> Array:
    """numpy has no bfloat16."""
    array: Array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return array


def _artifact(path: Path, kernels: Kernels, input_shapes: Sequence[str]) -> Side:
    file = Artifact(path, kernels=kernels)
    record = file.record
    functions = {t.file.name: _normalizer(t.preprocessing) for t in record.inputs if t.preprocessing is not None}

    def execute(arrays: Sequence[Array]) -> list[Array]:
        axes = [tensor.batch for tensor in record.inputs]
        if None not in axes:
            outputs = file.run_flat(tuple(np.moveaxis(a, 0, axis or 0) for a, axis in zip(arrays, axes, strict=True)))
            return [_stacked(a, t.batch) for a, t in zip(outputs, record.outputs, strict=True)]
        results = []  # an input that belongs to no sample: one sample at a time
        for index in range(len(arrays[0])):
            given = (a[index] if axis is None else np.expand_dims(a[index], axis) for a, axis in zip(arrays, axes, strict=True))
            results.append(file.run_flat(tuple(given)))
        parts = zip(*results, strict=True)
        return [np.concatenate([_stacked(a, t.batch) for a in part]) for part, t in zip(parts, record.outputs, strict=True)]

    specs = tuple(map(_spec, record.inputs, _sizes(record.inputs, input_shapes)))
    return Side(str(path), specs, tuple(tensor.file.name for tensor in record.outputs), execute, None, functions)


def _stacked(output: Array, axis: int | None) -> Array:
    """With samples along axis 0; an output that belongs to none counts as one."""
    return output[None] if axis is None else np.moveaxis(output, axis, 0)


def _sizes(inputs: Sequence[TensorIo], input_shapes: Sequence[str]) -> list[tuple[int, ...]]:
    """The shape that was given for each input, or ones: what a dimension is that the file leaves to the caller."""
    given = [parse_input_shape(text) for text in input_shapes]
    named = {name: shape for name, shape, _ in given if name}
    unnamed = iter([shape for name, shape, _ in given if not name])
    shapes = []
    for tensor in inputs:
        rank = len(tensor.source_shape)
        shape = named[tensor.file.name] if tensor.file.name in named else next(unnamed, (1,) * rank)
        if len(shape) != rank:
            raise InputError(
                f"the input '{tensor.file.name}' has {rank} dimensions, not {len(shape)}",
                where="--input-shape",
                hint="`edgekit inspect` shows the file's inputs",
            )
        shapes.append(shape)
    return shapes


def _spec(tensor: TensorIo, sizes: tuple[int, ...]) -> InputSpec:
    shape = tuple(size or sizes[axis] for axis, size in enumerate(tensor.source_shape) if axis != tensor.batch)
    dtype = "float32" if tensor.file.scale is not None else tensor.file.dtype
    return InputSpec(tensor.file.name, dtype, shape, raw=tensor.preprocessing is not None)


def _normalizer(given: Preprocessing) -> Callable[[Array], Array]:
    """``(x / scale - mean) / std``, numbers along axis 1 where there are several."""

    def along_channels(numbers: Sequence[float], rank: int) -> Array:
        return np.asarray(numbers, np.float64).reshape((1, -1) + (1,) * (rank - 2) if len(numbers) > 1 else (1,) * rank)

    def normalize(raw: Array) -> Array:
        mean = along_channels(given.mean or (0.0,), raw.ndim)
        std = along_channels(given.std or (1.0,), raw.ndim)
        normalized: Array = ((raw.astype(np.float64) / given.scale - mean) / std).astype(np.float32)
        return normalized

    return normalize
