"""A trained ResNet-20 (He et al. 2015) on CIFAR-10: exact in float, close in int8, written in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.compress.quantize.policy import ONNXRUNTIME
from edgekit.compress.quantize.post_training import quantize
from edgekit.export.onnx import export
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.onnx_optimized import optimized_operators
from edgekit.runtime.onnx_runtime import OnnxRuntime
from tests.real_networks import cifar10, resnet20


def images(data: Path, part: str, indices: Sequence[int] | slice) -> torch.Tensor:
    return torch.from_numpy(cifar10(data, part, indices)[0])


@pytest.fixture(scope="module")
def trained(real_data: Path) -> tuple[nn.Module, Graph]:
    module = resnet20(real_data)
    graph, _ = run_passes(load(module, (torch.zeros(1, 3, 32, 32),)), EXACT)
    return module, graph


def in_runtime(model: bytes, x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(OnnxRuntime(model).invoke([x.numpy()])[0])


def test_the_float_file_gives_the_sources_predictions(trained: tuple[nn.Module, Graph], real_data: Path) -> None:
    module, graph = trained
    x = images(real_data, "test", slice(512))
    with torch.no_grad():
        want = module(x)
    got = in_runtime(export(graph), x)
    assert torch.equal(got.argmax(1), want.argmax(1)) and float((got - want).abs().max()) < 1e-4


def test_the_int8_file_is_as_close_as_the_simulation_and_runs_on_integers(
    trained: tuple[nn.Module, Graph], real_data: Path
) -> None:
    module, graph = trained
    draw = np.random.default_rng(0).choice(15000, 256, replace=False)
    batches = [[batch] for batch in images(real_data, "train", draw).split(32)]
    quantized, _ = quantize(graph, batches, policy=ONNXRUNTIME, integer_io=False)
    x = images(real_data, "test", slice(512))
    with torch.no_grad():
        want = module(x)
    for unsigned in (False, True):
        model = export(quantized, unsigned=unsigned)
        error = in_runtime(model, x) - want
        assert 10 * float(torch.log10(want.square().sum() / error.square().sum())) > 30.5
        ran = optimized_operators(model, as_on_arm=not unsigned)
        assert (ran["QLinearConv"], ran["QLinearAdd"], ran["QGemm"]) == (19, 9, 1)
        assert {"Conv", "Gemm", "Add"} & set(ran) == set()
        assert len(model) < 310_000
