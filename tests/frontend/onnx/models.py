"""Small ONNX models for the tests of the ONNX source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from edgekit.frontend.onnx.load import graph_of_model
from edgekit.frontend.onnx.read import parse_model
from edgekit.ir import Graph
from edgekit.runtime.onnx_runtime import OnnxRuntime

Shape = Sequence[int | str]
node = helper.make_node


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Shape],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    types: Mapping[str, int] | None = None,
    functions: Sequence[Any] = (),
    domains: Sequence[tuple[str, int]] = (),
) -> Any:
    """A ``ModelProto`` of float inputs (``types`` says otherwise) and arrays as initialisers."""
    kinds = types or {}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), list(shape)) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), None) for n in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def load(proto: Any, **options: Any) -> Graph:
    """The graph of a model, verified."""
    graph = graph_of_model(parse_model(proto.SerializeToString(), "net.onnx"), name="net", where="net.onnx", **options)
    graph.verify()
    return graph


def save(proto: Any, folder: Path, name: str = "net.onnx") -> Path:
    """The model as a file."""
    path = folder / name
    onnx.save(proto, path)
    return path


def run(graph: Graph, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """The graph's outputs."""
    with torch.no_grad():
        return graph.module().eval().run(list(inputs))


def assert_as_in_runtime(proto: Any, *inputs: torch.Tensor, tolerance: float = 1e-5, **options: Any) -> Graph:
    """The graph gives what ONNX Runtime gives for the file itself."""
    graph = load(proto, **options)
    wanted = OnnxRuntime(proto.SerializeToString()).invoke([x.numpy() for x in inputs])
    for ours, theirs in zip(run(graph, *inputs), wanted, strict=True):
        assert ours.numpy().dtype == theirs.dtype
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=tolerance, atol=tolerance)
    return graph


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def array(*shape: int, seed: int = 0) -> Any:
    """Normal numbers for an initialiser."""
    return rand(*shape, seed=seed).numpy()
