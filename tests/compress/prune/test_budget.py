"""A budget is met, and used up: channels that there is room for stay."""

from __future__ import annotations

import pytest
import torch

from edgekit import Prune
from edgekit.frontend.source import load
from edgekit.ir import Graph
from examples.resnet20_cifar.net import CifarResNet


@pytest.fixture(scope="module")
def resnet20() -> Graph:
    torch.manual_seed(0)
    return load(CifarResNet().eval(), (torch.zeros(1, 3, 32, 32),))


@pytest.mark.parametrize("round_to", [1, 4, 8])
@pytest.mark.parametrize("share", [0.75, 0.5, 0.25])
def test_groups_that_lose_channels_at_one_ratio_get_back_what_there_is_room_for(
    resnet20: Graph, round_to: int, share: float
) -> None:
    small = Prune(macs=share, round_to=round_to).apply(resnet20)
    # The least that can come back is a block of one layer: (16 * 16 + 16 * 16) * 9 * 32 * 32 / 16 * round_to of 40.6 million.
    assert share * (0.985 if round_to == 1 else 0.9) < small.macs / resnet20.macs <= share
    assert all(size[0] % round_to == 0 for name, size in _weights(small).items() if "conv" in name)


def test_what_comes_back_are_the_best_channels_of_a_group(resnet20: Graph) -> None:
    small = Prune(macs=0.5, criterion="l1").apply(resnet20)
    name = "layer3.1.conv1.weight"
    norms = resnet20.state[name].tensor.detach().abs().sum((1, 2, 3))
    gone = set(small.history[-1].removed[name][0])
    assert gone == set(norms.argsort()[: len(gone)].tolist())


def _weights(graph: Graph) -> dict[str, torch.Size]:
    return {name: value.tensor.shape for name, value in graph.state.items() if name.endswith("weight")}
