"""A depthwise transposed convolution takes one operator for each place in a block of results, not one for each channel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit as ek
from tests.export.tflite.running import assert_equal_to_torch, op_counts
from tests.export.tflite.test_layout import graph_of


def network(kernel: int, stride: int, padding: int, more: int, *, bias: bool = True, channels: int = 16) -> nn.Module:
    upsample = nn.ConvTranspose2d(channels, channels, kernel, stride, padding, more, groups=channels, bias=bias)
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), upsample, nn.ReLU(), nn.Conv2d(channels, 4, 1)).eval()


FORMS = [
    (2, 2, 0, 0),
    (3, 2, 1, 1),
    (3, 2, 1, 0),
    (4, 2, 1, 0),
    (4, 2, 0, 1),
    (5, 2, 2, 1),
    (1, 2, 0, 1),
    (6, 3, 2, 1),
    (4, 3, 2, 0),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_depthwise_convolutions_and_a_shuffle(form: tuple[int, int, int, int]) -> None:
    file = assert_equal_to_torch(graph_of(network(*form), 3, 5, 7), tolerance=2e-5)
    counts = op_counts(file)
    assert counts["DEPTHWISE_CONV_2D"] == form[1] ** 2 and counts["DEPTH_TO_SPACE"] == 1
    assert not {"TRANSPOSE_CONV", "TRANSPOSE", "RESHAPE"} & set(counts)
    assert counts.get("PAD", 0) <= 1


def test_few_channels_and_blocks_that_are_not_square_keep_one_operator_a_group() -> None:
    oblong = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ConvTranspose2d(16, 16, 3, (1, 2), groups=16)).eval()
    for module in (network(4, 2, 1, 0, channels=3), oblong):
        assert "TRANSPOSE_CONV" in op_counts(assert_equal_to_torch(graph_of(module, 3, 5, 7), tolerance=2e-5))


@pytest.mark.parametrize("target", ["tflite-int8", pytest.param("tflm-int8", marks=pytest.mark.slow)])
def test_in_integers_it_gives_the_integers_of_the_simulation(target: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(network(4, 2, 1, 0, bias=False), nn.Conv2d(4, 16, 1), network(3, 2, 1, 1)[1])
    samples = torch.randn(32, 3, 8, 8)
    graph = ek.load(module.eval(), (samples[:2],))
    built = ek.build(graph, target=target, output=tmp_path, calibration=samples.numpy())
    assert op_counts(Path(built.artifact).read_bytes())["DEPTHWISE_CONV_2D"] == 8
    exact = [check for check in built.report.verification if check.against == "simulation" and check.kernels == "reference"]
    assert exact and all(check.equal_integers == 1.0 for check in exact)
