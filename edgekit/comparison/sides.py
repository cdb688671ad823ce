"""One side of a comparison: a graph or an artifact, fed with stacked samples in the source's layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.check import InputSpec
from edgekit.errors import Unsupported
from edgekit.formats.io_metadata import Preprocessing, TensorIo
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import Kernels

if TYPE_CHECKING:
    import torch

    from edgekit.ir.graph import Graph

Array = NDArray[Any]

#: Samples that run through a graph at once.
_AT_ONCE = 32

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
        return _artifact(Path(model), kernels)
    if hasattr(model, "nodes") and hasattr(model, "module"):
        return _graph(model, model.name)
    from edgekit.frontend.source import load

    graph = load(model, example_inputs, weights=weights, input_shapes=input_shapes, root=root)
    return _graph(graph, str(model) if isinstance(model, str | Path) else graph.name)


def graph_batches(graph: Graph, arrays: Sequence[Array]) -> list[list[torch.Tensor]]:
    """Samples as inputs of a graph, some at a time; as many as the graph demands where its batch is fixed.

    Raises:
        Unsupported: an input has no batch, or the number of samples is no multiple of the fixed one.
    """
    import torch

    from edgekit.ir.types import Batch

    first = [value.type.shape[0] if value.type.shape else None for value in graph.inputs]
    fixed = next((size for size in first if not isinstance(size, Batch)), _AT_ONCE)
    count = len(arrays[0])
    size = fixed if isinstance(fixed, int) else 0
    if size < 1 or (any(not isinstance(s, Batch) for s in first) and (count % size or len(set(first)) > 1)):
        raise Unsupported(
            f"'{graph.name}' does not stack samples along axis 0 of every input",
            hint="compare graphs with a batch axis, or give a number of samples that is a multiple of the fixed batch",
        )
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return [[tensor[start : start + size] for tensor in tensors] for start in range(0, count, size)]


def _graph(graph: Graph, name: str) -> Side:
    from edgekit.ir.types import dtype_name

    def run(arrays: Sequence[Array]) -> list[Array]:
        import torch

        module = graph.module().eval()
        with torch.no_grad():
            results = [module.run(batch) for batch in graph_batches(graph, arrays)]
        return [_numpy(torch.cat([result[i] for result in results])) for i in range(len(graph.outputs))]

    specs = tuple(InputSpec(v.name, dtype_name(v.type.dtype), v.type.at(1)[1:]) for v in graph.inputs)
    return Side(name, specs, tuple(v.name for v in graph.outputs), run, graph)


def _numpy(tensor: torch.Tensor) -> Array:
    """numpy has no bfloat16."""
    array: Array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return array


def _artifact(path: Path, kernels: Kernels) -> Side:
    file = Artifact(path, kernels=kernels)
    record = file.record
    functions = {t.file.name: _normalizer(t.preprocessing) for t in record.inputs if t.preprocessing is not None}
    return Side(
        str(path),
        tuple(_spec(tensor) for tensor in record.inputs),
        tuple(tensor.file.name for tensor in record.outputs),
        lambda arrays: file.run_flat(tuple(arrays)),
        None,
        functions,
    )


def _spec(tensor: TensorIo) -> InputSpec:
    shape = tuple(size or 1 for axis, size in enumerate(tensor.source_shape) if axis != tensor.batch)
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
