"""One-op graphs, and whole graphs, run by ONNX Runtime and by torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import onnx
import torch

from edgekit.export.onnx import export
from edgekit.ir import Graph, ops
from edgekit.ir.graph import Value
from edgekit.ir.types import TensorType, dtype_name
from edgekit.runtime.onnx_runtime import OnnxRuntime

#: An input: the text of its type (a graph input), a tensor (state), or None (absent).
Input = str | torch.Tensor | None


def one_op(op: ops.Op, *inputs: Input, outputs: Sequence[int] | None = None) -> Graph:
    """A graph of one op whose outputs (those of the given places) are the graph's."""
    graph = Graph("case")
    values: list[Value | None] = []
    for index, given in enumerate(inputs):
        if isinstance(given, str):
            values.append(graph.add_input(f"x{index}", TensorType.parse(given)))
        elif given is None:
            values.append(None)
        else:
            values.append(graph.add_state(f"layer.state{index}", given))
    node = graph.add_node(op, values, name="y")
    graph.outputs = [value for place, value in enumerate(node.outputs) if outputs is None or place in outputs]
    return graph


def samples(graph: Graph, batch: int, seed: int = 0) -> list[torch.Tensor]:
    """Normal floats, integers from -9 to 9 without 0, fair bools, for every input."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for value in graph.inputs:
        shape, dtype = value.type.at(batch), value.type.dtype
        if dtype.is_floating_point:
            out.append(torch.randn(shape, generator=generator).to(dtype) * 2)
        elif dtype == torch.bool:
            out.append(torch.randint(0, 2, shape, generator=generator).bool())
        else:
            numbers = torch.randint(1, 10, shape, generator=generator)
            sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1 if dtype.is_signed else 1
            out.append((numbers * sign).to(dtype))
    return out


def checked(model: bytes) -> onnx.ModelProto:
    """The file, checked by onnx with full shape inference."""
    proto = onnx.load_from_string(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(model: bytes, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """ONNX Runtime's outputs."""
    return run_many(model, [inputs])[0]


def run_many(model: bytes, calls: Sequence[Sequence[torch.Tensor]]) -> list[list[torch.Tensor]]:
    """The outputs of several calls of one session."""
    runtime = OnnxRuntime(model)
    return [[torch.from_numpy(array) for array in runtime.invoke([x.numpy() for x in inputs])] for inputs in calls]


def reference(graph: Graph, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The graph's own outputs, fake-quantised where it says so."""
    with torch.no_grad():
        return graph.module().eval().run([x.clone() for x in inputs])


def assert_equal_to_torch(
    graph: Graph, *, opset: int | None = None, tolerance: float = 1e-5, batches: Sequence[int] = (1, 3)
) -> onnx.ModelProto:
    """One file gives torch's numbers at every batch; the bound is relative to an output's largest element. Returns the file."""
    model = export(graph, opset=opset)
    proto = checked(model)
    assert [value.name for value in proto.graph.input] == [value.name for value in graph.inputs]
    calls = [samples(graph, batch) for batch in batches]
    for batch, inputs, results in zip(batches, calls, run_many(model, calls), strict=True):
        for value, want, got in zip(graph.outputs, reference(graph, inputs), results, strict=True):
            assert got.dtype == want.dtype, f"{dtype_name(got.dtype)} instead of {dtype_name(want.dtype)}"
            assert got.shape == want.shape == value.type.at(batch)
            if not want.is_floating_point():
                assert torch.equal(got, want)
                continue
            finite = want[torch.isfinite(want)]
            size = float(finite.abs().max()) if finite.numel() else 1.0
            torch.testing.assert_close(got, want, rtol=0, atol=tolerance * max(size, 1e-6), equal_nan=True)
    return proto


@functools.cache
def randn(*shape: int, seed: int = 1) -> torch.Tensor:
    """A constant of normal numbers; the same for the same shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
