"""Every architecture loses half of all its channels without a hint, trains on, and becomes files that compute the same."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgekit as ek
from benchmarks.zoo import ARCHITECTURES
from edgekit.export.onnx import export as to_onnx
from edgekit.export.tflite.exporter import export as to_tflite
from edgekit.frontend.source import load
from edgekit.ir import Graph, ops
from edgekit.ir.file import load as load_file
from edgekit.passes.pipeline import DECOMPOSE, EXACT
from tests.compress.prune.independent import difference, flat, outputs_in_double, reference_outputs
from tests.compress.prune.masked import randomise

torch.set_num_threads(1)

NAMES = [n if ARCHITECTURES[n].quick else pytest.param(n, marks=pytest.mark.slow) for n in ARCHITECTURES]
#: One quick architecture in three is saved, trained and exported in every run of the tests.
QUICK = [n for n in ARCHITECTURES if ARCHITECTURES[n].quick]
EXPORTED = [n if n in QUICK[::3] else pytest.param(n, marks=pytest.mark.slow) for n in ARCHITECTURES]
BUDGETED = ["MobileNetV2", "DenseNet-121", "YOLOv8n", "ViT-Tiny", "CRNN"]


def inputs(name: str, full: bool, batch: int, seed: int = 1) -> tuple[Tensor, ...]:
    a, generator = ARCHITECTURES[name], torch.Generator().manual_seed(seed)
    shapes = [(batch, *shape) for shape in a.shapes(full)]
    if a.tokens:
        return tuple(torch.randint(0, a.tokens, shape, generator=generator) for shape in shapes)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def made(name: str, full: bool) -> tuple[nn.Module, Graph]:
    a = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = randomise((a.full if full else a.small)(), 2)
    return model, load(model, inputs(name, full, 1))


@cache
def short(name: str) -> tuple[nn.Module, Graph, Graph]:
    """The source, its graph, and the graph pruned by half."""
    model, graph = made(name, False)
    return model, graph, ek.Prune(ratio=0.5, criterion="l1").apply(graph)


def check(name: str, model: nn.Module, graph: Graph, small: Graph, full: bool, batch: int) -> None:
    a, record = ARCHITECTURES[name], small.history[-1]
    assert record.details["parity_error"] <= 1e-5 and not record.warnings
    assert small.macs <= a.share * graph.macs, f"{small.macs / graph.macs:.3f} of the MACs are left"
    for parameter, value in graph.state.items():
        if value.users and value.is_trainable and value.type.rank > 1 and max(value.tensor_shape[:2]) > 1:
            assert parameter in record.removed or parameter in record.declined, f"'{parameter}' was silently left alone"
    for parameter, why in record.declined.items():
        plain = any(words in why for words in ("model's output", "the only channel", "no output of the model depends"))
        expected = plain or (a.alone and re.search(a.alone, parameter))
        assert expected, f"'{parameter}' was left alone: {why}"
    for node in small.nodes:
        if isinstance(node.op, ops.Conv1d | ops.Conv2d | ops.Linear):
            read = node.input(0).shape[-1 if isinstance(node.op, ops.Linear) else 1]
            assert node.input(1).tensor_shape[1] * getattr(node.op, "groups", 1) == read
    if not a.channels:
        xs = inputs(name, full, batch)
        assert difference(reference_outputs(model, record, xs), outputs_in_double(small, xs)) <= 1e-9


def check_files(name: str, small: Graph, folder: Path, full: bool) -> None:
    xs = inputs(name, full, 1)
    with torch.no_grad():
        wanted = small.module().eval()(*xs)
    ready = small
    for step in (*DECOMPOSE, *EXACT):
        ready, _ = step.run(ready)
    for kind, data in (("tflite", to_tflite(ready)), ("onnx", to_onnx(ready))):
        path = folder / f"net.{kind}"
        path.write_bytes(data)
        arrays = tuple(x.numpy() for x in xs)
        got = ek.run(path, arrays if len(arrays) > 1 else arrays[0])
        got = [torch.as_tensor(np.asarray(y)) for y in _arrays(got)]
        assert difference(flat(wanted), got) <= 1e-4, kind


def _arrays(result: object) -> list[object]:
    if isinstance(result, dict):
        return [y for item in result.values() for y in _arrays(item)]
    return [y for item in result for y in _arrays(item)] if isinstance(result, list | tuple) else [result]


@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_loses_half_its_channels_exactly(name: str) -> None:
    check(name, *short(name), full=False, batch=3)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_pruned_architecture_is_saved_trained_and_exported(name: str, tmp_path: Path) -> None:
    _, _, small = short(name)
    small.save(tmp_path / "small.ekg")
    again = load_file(tmp_path / "small.ekg")
    xs = inputs(name, False, 4)
    with torch.no_grad():
        assert difference(small.module().eval()(*xs), again.module().eval()(*xs)) == 0.0

    module = again.module().train()  # a copy of its own: training leaves the cached graph alone
    optimizer = torch.optim.SGD(module.parameters(), 1e-3)
    before = [p.detach().clone() for p in module.parameters()]
    loss = sum((y - 0.3 * torch.randn(y.shape[1:])).square().mean() for y in flat(module(*xs)))
    assert isinstance(loss, Tensor)
    loss.backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in module.parameters())
    assert any(not torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))

    check_files(name, small, tmp_path, full=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_published_depth_and_widths_are_pruned_and_exported(name: str, tmp_path: Path) -> None:
    model, graph = made(name, True)
    small = ek.Prune(ratio=0.5, criterion="l1").apply(graph)
    check(name, model, graph, small, full=True, batch=1)
    check_files(name, small, tmp_path, full=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, a in ARCHITECTURES.items() if a.convolutional])
def test_a_pruned_convolutional_network_keeps_its_parity_in_8_bits(name: str, tmp_path: Path) -> None:
    _, _, small = short(name)
    samples = tuple(x.numpy() for x in inputs(name, False, 32, seed=3))
    calibration = dict(zip((v.name for v in small.inputs), samples, strict=True))
    built = ek.build(small, target="tflite-int8", calibration=calibration, output=tmp_path)  # raises below the floor
    assert built.artifact.stat().st_size > 0


@pytest.mark.parametrize("name", [n if ARCHITECTURES[n].quick else pytest.param(n, marks=pytest.mark.slow) for n in BUDGETED])
def test_half_the_macs_over_all_layers(name: str) -> None:
    _, graph, _ = short(name)
    small = ek.Prune(macs=0.5, criterion="fpgm", scope="global").apply(graph)
    assert 0.4 * graph.macs < small.macs <= 0.5 * graph.macs
    assert small.history[-1].details["parity_error"] <= 1e-5


def test_there_are_architectures_of_every_family() -> None:
    assert len(ARCHITECTURES) >= 60 and sum(a.quick for a in ARCHITECTURES.values()) >= 30
