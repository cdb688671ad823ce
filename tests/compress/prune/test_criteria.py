"""Criteria against independent calculations on one layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Data, InputError, UsageError
from edgekit.compress.prune import Prune
from edgekit.compress.prune.analysis import analyse
from edgekit.compress.prune.criteria import CRITERIA, Evidence, NotDefined
from edgekit.compress.prune.groups import find_groups
from edgekit.compress.prune.step import NEEDS
from edgekit.frontend.source import load
from edgekit.ir import Graph
from tests.compress.prune.networks import small_cnn, small_graph

torch.set_num_threads(1)


def removed_from(graph: Graph, criterion: str, ratio: float = 0.5, data: object = None, **how: object) -> set[int]:
    step = Prune(ratio=ratio, criterion=criterion, **how)  # type: ignore[arg-type]
    return set(step.apply(graph, data).history[-1].removed["0.weight"][0])


def lowest(scores: torch.Tensor, count: int = 4) -> set[int]:
    return set(torch.argsort(scores)[:count].tolist())


def test_every_criterion_is_known_to_the_step() -> None:
    assert set(CRITERIA) == set(NEEDS)


def test_l1_and_l2_remove_the_smallest_filters() -> None:
    graph = small_graph()
    weight = graph.state["0.weight"].tensor.detach()
    assert removed_from(graph, "l1") == lowest(weight.abs().sum((1, 2, 3)))
    assert removed_from(graph, "l2") == lowest(weight.flatten(1).norm(dim=1))


def test_fpgm_removes_the_filters_nearest_to_all_others() -> None:
    graph = small_graph()
    rows = graph.state["0.weight"].tensor.detach().flatten(1)
    sums = torch.tensor([sum(float((a - b).norm()) for b in rows) for a in rows])
    assert removed_from(graph, "fpgm") == lowest(sums)


def test_bn_scale_removes_the_smallest_gammas() -> None:
    graph = small_graph()
    assert removed_from(graph, "bn_scale") == lowest(graph.state["1.weight"].tensor.detach().abs())


def test_apoz_removes_what_is_most_often_zero_behind_the_relu() -> None:
    model, graph = small_cnn(), small_graph()
    x = torch.randn(50, 3, 4, 4)
    with torch.no_grad():
        zeros = (model[2](model[1](model[0](x))) == 0).double().mean((0, 2, 3))
    assert removed_from(graph, "apoz", data=x) == lowest(-zeros)


def test_apoz_says_where_it_is_not_defined() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), torch.nn.GELU(), torch.nn.Conv2d(8, 2, 1)).eval()
    from edgekit.frontend.source import load

    record = (
        Prune(ratio=0.5, criterion="apoz").apply(load(model, (torch.zeros(1, 3, 4, 4),)), torch.randn(4, 3, 4, 4)).history[-1]
    )
    assert "no relu" in record.declined["0.weight"] and record.warnings


def test_taylor_is_the_squared_product_of_gradient_and_weight() -> None:
    model, graph = small_cnn(), small_graph()
    x, y = torch.randn(40, 3, 4, 4), torch.randint(0, 5, (40,))
    F.cross_entropy(model(x), y).backward()
    change = (model[0].weight * model[0].weight.grad).sum((1, 2, 3))
    assert removed_from(graph, "taylor", data=Data(train=(x, y))) == lowest(change.square())
    assert all(p.grad is None for p in graph.module().parameters())


def test_taylor_takes_the_logits_before_a_final_softmax() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(40, 3, 4, 4), torch.randint(0, 5, (40,))
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5))
    graphs = [load(nn.Sequential(*model, *last).eval(), (x[:1],)) for last in ([], [nn.Softmax(1)])]
    plain, ended = (removed_from(graph, "taylor", data=Data(train=(x, y))) for graph in graphs)
    assert plain == ended


def test_taylor_skips_samples_without_a_label() -> None:
    x, y = torch.randn(600, 3, 4, 4), torch.randint(0, 5, (600,))
    none = torch.full((600,), -100)
    wanted = removed_from(small_graph(), "taylor", data=Data(train=(x, y)))
    mixed = Data(train=(torch.cat([torch.randn(600, 3, 4, 4), x]), torch.cat([none, y])))
    assert removed_from(small_graph(), "taylor", data=mixed) == wanted
    with pytest.raises(InputError, match="none of 600 samples has a label"):
        Prune(ratio=0.5, criterion="taylor").apply(small_graph(), Data(train=(x, none)))


def test_labels_beyond_the_classes_are_refused() -> None:
    with pytest.raises(InputError, match="labels from 5 to 14 for 5 classes"):
        Prune(ratio=0.5, criterion="taylor").apply(small_graph(), Data(train=(torch.randn(10, 3, 4, 4), torch.arange(5, 15))))


def test_taylor_without_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="needs data with labels"):
        Prune(ratio=0.5, criterion="taylor").apply(small_graph())


@pytest.mark.parametrize("labels", [torch.randint(0, 2, (8, 4)), torch.randn(8, 3)])
def test_labels_that_do_not_fit_the_output_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(InputError, match="outputs of shape"):
        Prune(ratio=0.5, criterion="taylor").apply(small_graph(), Data(train=(torch.randn(8, 3, 4, 4), labels)))


def test_a_channel_merged_with_the_batch_is_judged_by_its_zeros() -> None:
    """Between the views every sample has eight rows for each of six channels."""
    conv = nn.Conv2d(3, 6, 1)
    conv.bias.data = torch.tensor([3.0, -3.0, 2.0, -2.0, 1.0, -1.0])
    model = Merged(conv, nn.Conv2d(6, 2, 1))
    small = Prune(ratio=0.5, criterion="apoz").apply(load(model, (torch.zeros(1, 3, 8, 8),)), torch.randn(8, 3, 8, 8))
    assert small.history[-1].removed["a.weight"] == {0: (1, 3, 5)}


class Merged(nn.Module):
    """Rows of channels as a batch."""

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(F.relu(self.a(x).reshape(-1, 8)).reshape(-1, 6, 8, 8))


def test_random_follows_the_seed() -> None:
    graph = small_graph()
    assert removed_from(graph, "random", seed=1) == removed_from(graph, "random", seed=1)
    assert len({tuple(sorted(removed_from(graph, "random", seed=seed))) for seed in range(5)}) > 1


def test_scores_of_a_group_without_batch_norm_are_not_defined() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)).eval()
    analysis = analyse(load(model, (torch.zeros(1, 4),)))
    (scores,) = CRITERIA["bn_scale"](find_groups(analysis), Evidence(analysis, []))
    assert isinstance(scores, NotDefined)


def test_global_ranking_divides_by_the_mean_of_each_group() -> None:
    """A layer whose weights are all a thousand times larger loses as many channels as it would otherwise."""
    first, second = small_graph(), small_graph()
    with torch.no_grad():
        second.state["0.weight"].tensor.mul_(1000)
    removed = [removed_from(g, "l1", ratio=0.4, scope="global") for g in (first, second)]
    assert removed[0] == removed[1] and len(removed[0]) < 8
