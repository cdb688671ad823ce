"""Untrained networks with the statistics of trained ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.zoo.common import ARCHITECTURES, cbr
from benchmarks.zoo.weights import as_if_trained, inputs_of

torch.set_num_threads(1)


class Twice(nn.Module):
    """One layer that is called twice, and one whose padding is a word."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 6, 3, padding="same", groups=3)
        self.again, self.out = nn.Conv2d(6, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.again(torch.relu(self.again(self.same(x)))).mean((2, 3)))
        return y


def amplified_db(model: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """By how much an error of the input grows on its way to the output, relative to the signal."""
    generator = torch.Generator().manual_seed(0)
    errors = [1e-3 * torch.randn(x.shape, generator=generator) for x in inputs]
    with torch.no_grad():
        before, after = model(*inputs), model(*[x + e for x, e in zip(inputs, errors, strict=True)])
    signal = sum(float(x.square().sum()) for x in inputs) / sum(float(e.square().sum()) for e in errors)
    return float(10 * torch.log10(signal * (before - after).square().sum() / before.square().sum()))


def made(laid: bool) -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    blocks = [layer for _ in range(6) for layer in (cbr(8, 8, 3, groups=8), cbr(8, 8, 1))]
    model = nn.Sequential(cbr(3, 8), *blocks, nn.Conv2d(8, 4, 1)).eval()
    inputs = (torch.nn.functional.interpolate(torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(1)), 16),)
    if laid:
        return as_if_trained(model, inputs, 2), inputs
    from benchmarks.zoo import weights

    weights._measure(model, inputs)
    return model.eval(), inputs


def test_an_error_of_the_input_grows_less_than_in_a_network_of_independent_weights() -> None:
    assert amplified_db(*made(laid=True)) < amplified_db(*made(laid=False)) - 5.0


def test_filters_are_laid_once_and_keep_their_sizes() -> None:
    torch.manual_seed(0)
    model, example = Twice(), (torch.randn(16, 3, 8, 8),)
    first = model.again.weight.detach().clone()
    laid = as_if_trained(model, example, 2)
    assert isinstance(laid, Twice) and not laid.training
    change = (laid.again.weight.detach().flatten(1).norm(dim=1) / first.flatten(1).norm(dim=1)).log()
    assert float(change.abs().max()) < 1.5  # the spread of scales, and next to nothing more
    direction = torch.nn.functional.cosine_similarity(laid.again.weight.flatten(1), first.flatten(1))
    assert 0.2 < float(direction.mean().detach()) < 0.95


@pytest.mark.parametrize("name", ["TC-ResNet", "LeNet-5"])
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    architecture, states = ARCHITECTURES[name], []
    for _ in range(2):
        torch.manual_seed(0)
        model = as_if_trained(architecture.small(), inputs_of(architecture, False, 16, 5), 2)
        states.append(torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()]))
    assert torch.equal(*states) and bool(states[0].isfinite().all())
