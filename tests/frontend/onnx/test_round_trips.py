"""Whole networks: what edgekit and torch write as ONNX loads again and computes the same, at another batch size too."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import edgekit as ek
from benchmarks.zoo import ARCHITECTURES
from edgekit.export.onnx import export
from edgekit.frontend.onnx.load import graph_of_model
from edgekit.frontend.onnx.read import parse_model
from edgekit.ir import Graph
from edgekit.ir.types import N
from edgekit.passes import EXACT, run_passes
from tests.compress.prune.masked import randomise
from tests.frontend.onnx.models import run
from tests.real_networks import mlperf_tiny, resnet20, tiny_network

torch.set_num_threads(1)

QUICK = ("MobileNetV2", "ViT-Tiny", "CRNN")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
TINY = ("resnet8", "dscnn", "mbv1_025", "fcae")


def network(name: str) -> tuple[nn.Module, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """A network with random weights and statistics, an example, and other inputs."""
    a, generator = ARCHITECTURES[name], torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    model = randomise(a.small(), 2).eval()

    def inputs(batch: int) -> tuple[Tensor, ...]:
        if a.tokens:
            return tuple(torch.randint(0, a.tokens, (batch, *shape), generator=generator) for shape in a.shapes(False))
        return tuple(torch.randn((batch, *shape), generator=generator) for shape in a.shapes(False))

    return model, inputs(2), inputs(3)


def loaded(data: bytes, **options: object) -> Graph:
    graph = graph_of_model(parse_model(data, "net.onnx"), name="net", **options)  # type: ignore[arg-type]
    graph.verify()
    return graph


def assert_computes(graph: Graph, model: nn.Module, inputs: tuple[Tensor, ...], tolerance: float = 1e-5) -> None:
    with torch.no_grad():
        wanted = model(*inputs)
    leaves = [wanted] if isinstance(wanted, Tensor) else torch.utils._pytree.tree_leaves(wanted)
    for ours, theirs in zip(run(graph, *inputs), leaves, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", NAMES)
def test_edgekits_own_file_loads_again_with_the_sources_state(name: str) -> None:
    model, example, inputs = network(name)
    graph = loaded(export(ek.load(model, example)))
    assert all(value.shape[0] == N for value in graph.inputs)
    assert_computes(graph, model, inputs)
    trainable = {key for key, _ in graph.module().named_parameters()}
    gates = re.compile(r"_[ih]h_l\d")  # recurrent weights stand in a file with their gates in another order
    missing = [key for key, _ in model.named_parameters() if key not in trainable and not gates.search(key)]
    assert name not in QUICK or missing == []


def exported_by_torch(model: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    """By the exporter that traces, which needs no further package."""
    file, names = io.BytesIO(), [f"x{index}" for index in range(len(example))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and warns about what it traces
        torch.onnx.export(
            model,
            example,
            file,
            dynamo=False,
            input_names=names,
            dynamic_axes={n: {0: "batch"} for n in names},
            opset_version=17,
        )
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_torchs_file_loads(name: str) -> None:
    model, example, inputs = network(name)
    try:
        data = exported_by_torch(model, example)
    except torch.onnx.errors.OnnxExporterError as error:
        pytest.skip(f"torch does not write it: {str(error).splitlines()[0]}")
    assert_computes(loaded(data), model, inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "ViT-Tiny"])
def test_torchs_newer_exporter_writes_what_loads(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs the package onnxscript")
    model, example, inputs = network(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, example, dynamo=True, dynamic_shapes=[{0: torch.export.Dim("batch")}])
    assert program is not None
    program.save(tmp_path / "net.onnx")
    assert_computes(ek.load(tmp_path / "net.onnx"), model, inputs)


@pytest.mark.parametrize("name", TINY)
def test_trained_networks_come_back_after_the_exact_passes(name: str, real_data: Path) -> None:
    zoo = mlperf_tiny(real_data)
    model, shape = tiny_network(zoo, name)
    inputs = (torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)),)
    ready, _ = run_passes(ek.load(model, (torch.zeros(2, *shape),)), EXACT)
    graph = loaded(export(ready))
    assert_computes(graph, model, inputs)
    again, _ = run_passes(graph, EXACT)
    assert [node.op.name for node in again.nodes] == [node.op.name for node in ready.nodes]


def test_resnet20_comes_back_with_its_names(real_data: Path) -> None:
    model = resnet20(real_data).eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    graph = loaded(export(ek.load(model, (x[:2],))))
    assert_computes(graph, model, (x,))
    wanted = {key for key in model.state_dict() if "num_batches" not in key}
    assert set(graph.module().state_dict()) == wanted


def test_silero_vad_loads_for_a_given_window(real_data: Path) -> None:
    """Its branches depend on sizes alone; its sample rate is an input that only its shape uses."""
    path = real_data / "models" / "silero_vad_16k.onnx"
    if not path.exists():
        pytest.skip("EDGEKIT_DATA has no silero_vad_16k.onnx")
    with pytest.raises(ek.Unsupported, match="free besides the batch"):
        ek.load(path)
    graph = ek.load(path, input_shapes=["input=1,576", "state=2,1,128"])
    from edgekit.runtime.onnx_runtime import OnnxRuntime

    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(1, 576, generator=generator) * 0.1,
        torch.randn(2, 1, 128, generator=generator) * 0.1,
        torch.tensor(16000),
    ]
    wanted = OnnxRuntime(path).invoke([x.numpy() for x in inputs])
    for ours, theirs in zip(run(graph, *inputs), wanted, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-5)
