"""A trained ResNet-20 (He et al. 2015) on CIFAR-10: exact in float, close in int8, written in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.compress.quantize.policy import ONNXRUNTIME
from edgekit.compress.quantize.post_training import quantize
from edgekit.export.onnx import export
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.onnx_optimized import optimized_operators
from edgekit.runtime.onnx_runtime import OnnxRuntime

_MEAN, _STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


class Block(nn.Module):
    """Two convolutions and a shortcut that, where sizes change, takes every second pixel and pads channels with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            quarter = y.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """Three stages of three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(3)])
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.shape[3]).flatten(1))


def images(data: Path, name: str, indices: np.ndarray) -> torch.Tensor:
    with np.load(data / "cifar10.npz") as arrays:
        pixels = arrays[name][indices].astype(np.float32) / 255
    return torch.from_numpy(np.ascontiguousarray(((pixels - _MEAN) / _STD).transpose(0, 3, 1, 2)))


@pytest.fixture(scope="module")
def trained(real_data: Path) -> tuple[nn.Module, Graph]:
    module = ResNet20()
    state = torch.load(real_data / "models/resnet20_cifar10.th", weights_only=True, map_location="cpu")["state_dict"]
    module.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    graph, _ = run_passes(load(module.eval(), (torch.zeros(1, 3, 32, 32),)), EXACT)
    return module, graph


def in_runtime(model: bytes, x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(OnnxRuntime(model).invoke([x.numpy()])[0])


def test_the_float_file_gives_the_sources_predictions(trained: tuple[nn.Module, Graph], real_data: Path) -> None:
    module, graph = trained
    x = images(real_data, "x_test", np.arange(512))
    with torch.no_grad():
        want = module(x)
    got = in_runtime(export(graph), x)
    assert torch.equal(got.argmax(1), want.argmax(1)) and float((got - want).abs().max()) < 1e-4


def test_the_int8_file_is_as_close_as_the_simulation_and_runs_on_integers(
    trained: tuple[nn.Module, Graph], real_data: Path
) -> None:
    module, graph = trained
    draw = np.random.default_rng(0).choice(15000, 256, replace=False)
    batches = [[batch] for batch in images(real_data, "x_train", draw).split(32)]
    quantized, _ = quantize(graph, batches, policy=ONNXRUNTIME, integer_io=False)
    x = images(real_data, "x_test", np.arange(512))
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
