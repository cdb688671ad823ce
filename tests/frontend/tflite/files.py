"""Small .tflite files written operator by operator, and the oracle: LiteRT runs the file, the graph must agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.export.tflite.exporter import export
from edgekit.formats.tflite.model import Model, Operator, Options, Quantization, Subgraph, Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.litert import LiteRT

torch.set_num_threads(1)

_TYPES = {
    np.dtype("f4"): TensorType.FLOAT32,
    np.dtype("f2"): TensorType.FLOAT16,
    np.dtype("i4"): TensorType.INT32,
    np.dtype("i8"): TensorType.INT64,
    np.dtype("i1"): TensorType.INT8,
    np.dtype("u1"): TensorType.UINT8,
    np.dtype("i2"): TensorType.INT16,
    np.dtype("?"): TensorType.BOOL,
}

Scale = tuple[float | Sequence[float], int] | tuple[Sequence[float], int, int]


def quantization(scale: Any, zero: int = 0, axis: int = 0) -> Quantization:
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(scales, np.full(len(scales), zero, np.int64), axis)


class File:
    """A file in the making: each method gives the index of a tensor."""

    def __init__(self, seed: int = 0) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.inputs: list[int] = []
        self.random = np.random.default_rng(seed)

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def input(self, *shape: int, type: Any = "f4", quant: Quantization | None = None, signature: tuple[int, ...] = ()) -> int:
        name = f"x{len(self.inputs)}"
        self.inputs.append(self._add(Tensor(name, shape, _TYPES[np.dtype(type)], None, quant, signature)))
        return self.inputs[-1]

    def constant(self, array: Any, quant: Quantization | None = None, name: str | None = None) -> int:
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        label = name or f"model/layer_{len(self.tensors)}/MatMul"
        return self._add(Tensor(label, array.shape, _TYPES[array.dtype], array.tobytes(), quant))

    def ints(self, *numbers: Any) -> int:
        return self.constant(np.array(numbers[0] if len(numbers) == 1 else numbers, np.int32))

    def weight(self, *shape: int) -> int:
        return self.constant(self.random.standard_normal(shape).astype(np.float32))

    def state(self, *shape: int) -> int:
        return self._add(Tensor(f"state_{len(self.tensors)}", shape, TensorType.FLOAT32, is_variable=True))

    def result(self, shape: Sequence[int], type: Any = "f4", quant: Quantization | None = None) -> int:
        return self._add(Tensor(f"model/node_{len(self.tensors)}", tuple(shape), _TYPES[np.dtype(type)], None, quant))

    def op(
        self,
        name: str,
        inputs: Sequence[int],
        shape: Sequence[int] | Sequence[Sequence[int]],
        *,
        type: Any = "f4",
        quant: Quantization | None = None,
        table: str | None = None,
        version: int = 1,
        **fields: Any,
    ) -> int:
        """An operator; several shapes for several results, of which the first index comes back."""
        shapes = [tuple(s) for s in shape] if shape and not isinstance(shape[0], int) else [tuple(shape)]  # type: ignore[arg-type]
        results = [self.result(s, type, quant) for s in shapes]
        options = None if table is None else Options(table, fields)
        self.operators.append(Operator(BuiltinOperator[name], tuple(inputs), tuple(results), options, version))
        return results[0]

    def content(self, *outputs: int) -> bytes:
        main = Subgraph(tuple(self.tensors), tuple(self.inputs), tuple(outputs), tuple(self.operators), "main")
        return write(Model((main,)), names="all")


def load_bytes(content: bytes, folder: Path, **options: Any) -> Graph:
    path = folder / "net.tflite"
    path.write_bytes(content)
    graph = load(path, **options)
    graph.verify()
    return graph


def samples(runner: LiteRT, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    out = []
    for info in runner.inputs:
        kind = np.dtype(info.dtype)
        if kind.kind == "f":
            out.append(random.standard_normal(info.shape).astype(kind))
        elif kind.kind == "b":
            out.append(random.integers(0, 2, info.shape).astype(bool))
        elif info.scale is not None:
            limits = np.iinfo(kind)
            out.append(random.integers(limits.min, limits.max + 1, info.shape).astype(kind))
        else:
            out.append(random.integers(0, 3, info.shape).astype(kind))
    return out


def real(array: np.ndarray[Any, Any], info: Any) -> np.ndarray[Any, Any]:
    if info.scale is None:
        return array
    return ((array.astype(np.int64) - info.zero_point) * np.float32(info.scale)).astype(np.float32)


def assert_agrees(
    content: bytes, folder: Path, *, tolerance: float = 2e-5, kernels: Any = "reference", steps: int = 0
) -> Graph:
    """The graph of a file gives what LiteRT gives; so does the file that is written from the graph.

    ``steps``: how many steps of the output's scale integers may differ.
    """
    runner = LiteRT(content, kernels)
    graph = load_bytes(content, folder)
    given = samples(runner)
    runner.reset()  # some kernels leave variables as they find them when a file is loaded
    wanted = [real(y, info) for y, info in zip(runner.invoke(given), runner.outputs, strict=True)]
    reals = [torch.from_numpy(real(x, info)) for x, info in zip(given, runner.inputs, strict=True)]
    with torch.no_grad():
        got = [y.numpy() for y in graph.module().eval().run(reals)]
    for y, z, info in zip(got, wanted, runner.outputs, strict=True):
        assert y.shape == z.shape and (y.dtype == z.dtype)
        limit = tolerance if info.scale is None else (steps + 1e-3) * info.scale
        np.testing.assert_allclose(
            y, z, rtol=tolerance, atol=limit * max(1.0, float(np.abs(z).max(initial=0)) if info.scale is None else 1.0)
        )
    return graph


def written_again(graph: Graph) -> tuple[bytes, dict[str, int]]:
    """The graph as a .tflite file, after the exact passes if it is in floats, and its operators."""
    if all(value.quant is None for value in graph.values()):
        graph, _ = run_passes(graph, EXACT)
    content = export(graph)
    return content, read(content).op_counts()
