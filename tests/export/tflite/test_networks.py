"""The measured networks: their files' operators and sizes, and their numbers in every runtime."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.compress.quantize.policy import LITERT, TFLM
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import LiteRT
from tests import tflite_runtimes
from tests.export.tflite.running import op_counts
from tests.real_networks import mlperf_tiny, tiny_network

#: Operators and bytes that the int8 files may have at most.
BARS = {"resnet8": (16, 86_200), "dscnn": (13, 33_000), "mbv1_025": (31, 252_800), "fcae": (10, 293_500)}


@pytest.fixture(scope="module")
def zoo(real_data: Path) -> ModuleType:
    return mlperf_tiny(real_data)


def built(zoo: ModuleType, name: str, **settings: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with its weights, and its input's shape without batch."""
    return tiny_network(zoo if name in BARS else zoo.zoo, name, **settings)


def graph_of(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    return run_passes(load(module, (torch.zeros(1, *shape),)), (*EXACT, *DECOMPOSE))[0]


def in_int8(graph: Graph, x: torch.Tensor, **settings: object) -> Graph:
    options = PostTraining(observer="min_max", bias_correction=False)
    return quantize(graph, [[batch] for batch in x.split(16)], options=options, **settings)[0]  # type: ignore[arg-type]


def sqnr(want: np.ndarray, got: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(10 * np.log10((want**2).sum() / ((want - got) ** 2).sum()))


@pytest.mark.parametrize("pad", ["tf", "torch"])
@pytest.mark.parametrize("name", BARS)
def test_a_reference_network_is_small_has_few_operators_and_is_right(name: str, pad: str, zoo: ModuleType) -> None:
    module, shape = built(zoo, name, pad=pad)
    graph, x = graph_of(module, shape), zoo.data(name, 8, 5)
    want = module(x).numpy()
    floats = Artifact(export(graph)).run(x.numpy())
    assert np.abs(floats - want).max() <= 1e-4 * np.abs(want).max()

    file = export(in_int8(graph, zoo.data(name, 32, 1)))
    counts = op_counts(file)
    pads = counts.pop("PAD", 0)
    assert set(counts) <= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "SOFTMAX"}
    assert sum(counts.values()) <= BARS[name][0]
    if pad == "tf":
        assert not pads
        assert len(file) <= BARS[name][1]
        assert sqnr(want, Artifact(file).run(x.numpy())) > 15
    else:
        strided = sum(1 for m in module.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1 and max(m.kernel_size) > 1)
        assert pads <= strided


@pytest.mark.parametrize("name", BARS)
def test_a_reference_network_gives_the_same_integers_in_every_runtime(name: str, zoo: ModuleType) -> None:
    module, shape = built(zoo, name)
    graph = graph_of(module, shape)
    file = export(in_int8(graph, zoo.data(name, 32, 1), policy=TFLM), TfliteOptions(micro=True))
    if name == "fcae":
        assert len(file) <= 274_100
    model = LiteRT(file, "reference")
    rng = np.random.default_rng(0)
    calls = [[rng.integers(-128, 128, model.inputs[0].shape, dtype=np.int8)] for _ in range(3)]
    want = np.stack([model.invoke(call)[0] for call in calls]).astype(int)
    # Fully connected layers rescale in fixed point there and in floating point here; ten of them add up.
    apart = 4 if name == "fcae" else 1
    assert np.abs(tflite_runtimes.run_micro(file, calls)[0].reshape(want.shape) - want).max() <= apart
    tflite_runtimes.run_2_14(file, calls)  # its kernels round otherwise; that it loads and runs is what is promised
    tflite_runtimes.run_2_14(export(graph), [[c[0].astype(np.float32)] for c in calls])


@pytest.mark.slow
def test_mobilenet_v2_has_a_pad_for_each_strided_convolution_and_nothing_else(zoo: ModuleType) -> None:
    module, shape = built(zoo, "mbv2")
    counts = op_counts(export(graph_of(module, shape)))
    assert sum(counts.values()) <= 71
    assert counts.pop("PAD") == 5
    assert set(counts) == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"}


def test_a_vision_transformer_has_two_transposes_a_block_and_is_smaller_in_integers(zoo: ModuleType) -> None:
    module, shape = built(zoo, "vit")
    graph = graph_of(module, shape)
    floats = export(graph)
    counts = op_counts(floats)
    assert counts["TRANSPOSE"] == 8
    assert sum(counts.values()) <= 150
    x = zoo.zoo.data("vit", 4, 5)
    want = module(x).numpy()
    assert np.abs(Artifact(floats).run(x.numpy()) - want).max() < 1e-5
    integers = export(in_int8(graph, zoo.zoo.data("vit", 16, 1), policy=LITERT))
    assert len(integers) < 0.3 * len(floats)
    assert sqnr(want, Artifact(integers).run(x.numpy())) > 18


class Block(nn.Module):
    """A block of the CIFAR ResNets: the shortcut takes every second pixel and adds channels of zeros."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
        self.grows, self.width = stride > 1, outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x))
        if self.grows:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.width // 4, self.width // 4))
        return torch.relu(x + y)


def resnet20() -> nn.Module:
    stages = [
        (16, 16, 1),
        (16, 16, 1),
        (16, 16, 1),
        (16, 32, 2),
        (32, 32, 1),
        (32, 32, 1),
        (32, 64, 2),
        (64, 64, 1),
        (64, 64, 1),
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *(Block(*s) for s in stages), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10)).eval()


def test_resnet20_has_one_slice_and_one_pad_for_each_shortcut_that_grows() -> None:
    torch.manual_seed(0)
    graph = graph_of(resnet20(), (3, 32, 32))
    file = export(in_int8(graph, torch.randn(8, 3, 32, 32)))
    assert op_counts(file) == {"CONV_2D": 19, "ADD": 9, "PAD": 4, "STRIDED_SLICE": 2, "FULLY_CONNECTED": 1, "MEAN": 1}
    assert len(file) <= 286_500
