"""Layers keep multiples: a budget is met whenever some rounded network meets it, also where shortcuts tie layers together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit import OverBudget, Prune
from edgekit.compress.prune.analysis import Analysis, analyse
from edgekit.compress.prune.groups import find_groups, limits
from edgekit.compress.prune.removal import Gone, shrink
from edgekit.compress.prune.rounding import Grid
from edgekit.frontend.source import load
from edgekit.ir import Graph

torch.set_num_threads(1)


class Block(nn.Module):
    """Two convolutions beside a shortcut that is padded with channels (He et al. 2015, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.stride, self.more = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        short = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(short + self.b(F.relu(self.a(x))))


def option_a(*widths: int) -> Graph:
    torch.manual_seed(0)
    blocks = [Block(i, o, 2) for i, o in pairwise(widths)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 4)]
    return load(nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1), nn.ReLU(), *blocks, *head).eval(), (torch.zeros(1, 3, 8, 8),))


def split_and_added() -> Graph:
    """Two halves of which one is added to a narrower layer."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow, self.head = nn.Conv2d(3, 20, 3), nn.Conv2d(3, 8, 3), nn.Conv2d(20, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.wide(x).split([8, 12], 1)
            return self.head(torch.cat([a + self.narrow(x), b], 1))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    return load(Net().eval(), (torch.zeros(1, 3, 6, 6),))


def rounded(analysis: Analysis, multiple: int) -> Iterator[Gone]:
    """Every choice of counts that leaves each layer that makes channels a multiple or all, and nothing empty."""
    groups = [group for group in find_groups(analysis) if len(group) > 1]
    axes = [analysis.roots(place.value, place.axis) for group in groups for place in group.made]
    one_stays = limits(analysis)
    for counts in product(*[range(len(group) + 1) for group in groups]):
        gone = np.zeros(len(analysis.root), np.bool_)
        for group, count in zip(groups, counts, strict=True):
            gone[group.roots[count:]] = True
        kept = [int(np.count_nonzero(~gone[roots])) for roots in axes]
        whole = all(n == len(roots) or n % multiple == 0 for n, roots in zip(kept, axes, strict=True))
        if whole and not any(gone[classes].all() for classes in one_stays):
            yield gone[analysis.root]


GRAPHS = {
    "option A by 8": (lambda: option_a(8, 16), 8),
    "option A by 4": (lambda: option_a(4, 8, 12), 4),
    "option A, widths that are no multiples": (lambda: option_a(6, 10), 4),
    "a split": (split_and_added, 8),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_budget_is_met_whenever_a_rounded_network_meets_it(name: str, scope: str) -> None:
    graph, multiple = GRAPHS[name][0](), GRAPHS[name][1]
    analysis = analyse(graph)
    least = min(shrink(analysis, gone, shapes_only=True).macs for gone in rounded(analysis, multiple))
    small = Prune(macs=least, round_to=multiple, criterion="l1", scope=scope).apply(graph)
    assert small.macs == least < graph.macs
    with pytest.raises(OverBudget, match=rf"round_to = {multiple}\) they are {least:,}") as caught:
        Prune(macs=least - 1, round_to=multiple, criterion="l1", scope=scope).apply(graph)
    assert "a smaller round_to" in str(caught.value)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("amount", [{"ratio": 0.3}, {"ratio": 0.6}, {"macs": 0.9}, {"parameters": 0.9}])
def test_every_layer_keeps_a_multiple_or_all(name: str, amount: dict[str, float]) -> None:
    graph, multiple = GRAPHS[name][0](), GRAPHS[name][1]
    small = Prune(**amount, round_to=multiple, criterion="l1").apply(graph)  # type: ignore[arg-type]
    for parameter, value in small.state.items():
        if value.type.rank == 4:
            assert (n := value.tensor_shape[0]) % multiple == 0 or n == graph.state[parameter].tensor_shape[0]


def test_a_ratio_rounds_up_and_a_budget_to_the_nearest() -> None:
    graph = option_a(8, 16)
    analysis = analyse(graph)
    groups = [group for group in find_groups(analysis) if len(group) > 1]
    grid = Grid(analysis, groups, 8)
    wanted = [5 if len(group) == 8 else 10 for group in groups]
    up, nearest = grid.counts(wanted, "up"), grid.counts(wanted, "nearest")
    assert all(n >= w for n, w in zip(up, wanted, strict=True))
    assert sum(abs(n - w) for n, w in zip(nearest, wanted, strict=True)) < sum(n - w for n, w in zip(up, wanted, strict=True))
