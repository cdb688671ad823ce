"""What may follow a removal: biases that absorb constants, and batch-norm statistics measured again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgekit import UsageError
from edgekit.compress.prune import Prune
from edgekit.frontend.source import load
from tests.compress.prune.networks import small_cnn, small_graph

torch.set_num_threads(1)


@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_channel_is_absorbed_exactly(bias: bool) -> None:
    """gamma = 0 leaves relu(beta); the reader is not padded, so its bias (or its batch norm) can take all of it."""
    torch.manual_seed(0)
    model = small_cnn()
    if bias:
        model[3] = nn.Conv2d(8, 12, 1)
    with torch.no_grad():
        model[1].weight[:4] = 0.0
        model[1].bias[:4] = torch.tensor([0.5, 1.0, 2.0, -1.0])
    graph = load(model, (torch.zeros(1, 3, 4, 4),))
    x = torch.randn(20, 3, 4, 4)
    step = Prune(ratio=0.5, criterion="bn_scale", keep=("3",), absorb=True)
    small = step.apply(graph, x)
    record = small.history[-1]
    assert record.removed["1.weight"][0] == (0, 1, 2, 3) and record.details["not_absorbed"] == {}
    with torch.no_grad():
        torch.testing.assert_close(small.module().eval()(x), model(x), rtol=1e-4, atol=1e-4)
        without = Prune(ratio=0.5, criterion="bn_scale", keep=("3",)).apply(graph)
        assert float((without.module().eval()(x) - model(x)).abs().max()) > 0.01


def test_statistics_are_those_that_torch_would_gather_in_training() -> None:
    graph, x = small_graph(), torch.randn(64, 3, 4, 4)
    plain = Prune(ratio=0.5, criterion="l1").apply(graph)
    small = Prune(ratio=0.5, criterion="l1", reestimate=True).apply(graph, x)
    assert small.history[-1].details["batch_norms_reestimated"] == 2

    twin = copy.deepcopy(small_cnn())
    removed = small.history[-1].removed
    a, b = ([i for i in range(size) if i not in removed[name][0]] for name, size in (("0.weight", 8), ("3.weight", 12)))
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 1, bias=False)
    norms = [nn.BatchNorm2d(4, momentum=None), nn.BatchNorm2d(6, momentum=None)]
    with torch.no_grad():
        first.weight.copy_(twin[0].weight[a])
        first.bias.copy_(twin[0].bias[a])
        second.weight.copy_(twin[3].weight[b][:, a])
        norms[0].weight.copy_(twin[1].weight[a])
        norms[0].bias.copy_(twin[1].bias[a])
        nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1]).train()(x)
    torch.testing.assert_close(small.state["1.running_mean"].tensor, norms[0].running_mean)
    torch.testing.assert_close(small.state["4.running_var"].tensor, norms[1].running_var)
    assert not torch.allclose(plain.state["4.running_var"].tensor, norms[1].running_var)  # type: ignore[arg-type]


def test_both_need_data() -> None:
    with pytest.raises(UsageError, match="needs data"):
        Prune(ratio=0.5, absorb=True).apply(small_graph())


@pytest.mark.parametrize("rounds", [1, 2])
def test_both_are_told(rounds: int) -> None:
    x = torch.randn(64, 3, 4, 4)
    step = Prune(ratio=0.5, criterion="l1", absorb=True, reestimate=True, rounds=rounds)
    notes = step.apply(small_graph(), x).history[-1].notes
    assert notes[0] == "2 layers took the mean of the removed channels into biases or norms"
    assert notes[1] == "the statistics of 2 batch norms were measured again"
