"""Choices within a budget: met, as good as trying all of them, and refused where they cannot be."""

from __future__ import annotations

import itertools

import pytest
import torch

from edgekit import OverBudget
from edgekit.compress.low_rank import LowRank
from edgekit.compress.low_rank.matrix import MatrixSvd
from edgekit.compress.rewriting.choice import within
from edgekit.compress.rewriting.factorization import Candidate
from edgekit.compress.rewriting.layers import find_layers
from edgekit.compress.rewriting.menu import Dish, Menu
from edgekit.compress.separable import Separable
from tests.compress.rewriting.networks import cnn

torch.set_num_threads(1)


@pytest.mark.parametrize("measure", ["macs", "parameters"])
@pytest.mark.parametrize("step", [Separable, LowRank])
@pytest.mark.parametrize("share", [0.8, 0.6])
def test_a_budget_is_met_and_used(measure: str, step: type[Separable] | type[LowRank], share: float) -> None:
    graph = cnn()
    before = getattr(graph, measure)
    small = step(**{measure: share}).apply(graph)  # type: ignore[arg-type]
    assert (share - 0.2) * before < getattr(small, measure) <= share * before
    amount = int(share * before)
    assert getattr(step(**{measure: amount}).apply(graph), measure) <= amount  # type: ignore[arg-type]


def test_a_budget_that_is_met_already_rewrites_nothing() -> None:
    record = LowRank(macs=1.0).apply(cnn()).history[-1]
    assert not record.details["layers"] and "nothing was rewritten" in record.warnings[0]
    assert record.declined["fc.weight"] == "the budget is met without it"


def test_a_budget_that_cannot_be_met_says_what_can() -> None:
    with pytest.raises(OverBudget, match="at the lowest ranks they are"):
        Separable(macs=0.01).apply(cnn())


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_close_to_the_best_of_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    (layer, *_), _ = find_layers(cnn())
    how, menus = MatrixSvd(layer), []
    for _ in range(3):
        errors = torch.rand(5, generator=generator).sort(descending=True)[0].tolist()
        costs = (torch.rand(5, generator=generator) * layer.macs).sort()[0].int().tolist()
        menus.append(Menu(layer, [Dish(how, Candidate((1,), e, c, c)) for e, c in zip(errors, costs, strict=True)]))
    total, allowed = 3 * layer.macs, 1.7 * layer.macs

    def cost(choice: tuple[Dish | None, ...]) -> int:
        return sum(layer.macs if dish is None else dish.candidate.macs for dish in choice)

    def loss(choice: tuple[Dish | None, ...]) -> float:
        return sum(0.0 if dish is None else dish.error**2 for dish in choice)

    every = itertools.product(*[[None, *menu.dishes] for menu in menus])
    best = min(loss(choice) for choice in every if cost(choice) <= allowed)
    found = tuple(within(menus, "macs", total, allowed))
    assert cost(found) <= allowed
    assert loss(found) <= best + max(dish.error for menu in menus for dish in menu.dishes) ** 2  # the bound of the greedy hull


def test_layers_that_lose_little_give_most() -> None:
    graph = cnn()
    flat = graph.state["fc.weight"].tensor.detach()
    graph.state["fc.weight"].data = torch.nn.Parameter(flat[:, :1] @ flat[:1])
    rows = LowRank(parameters=0.9).apply(graph).history[-1].details["layers"]
    assert rows["fc.weight"]["error"] < 1e-5 and rows["fc.weight"]["parameters"][1] < 240


def test_errors_of_outputs_decide_where_data_is_given() -> None:
    graph = cnn()
    x = torch.randn(64, 3, 8, 8).numpy()
    by_outputs = LowRank(error=0.5).apply(graph, x).history[-1]
    assert by_outputs.details["judged_by"] == "outputs"
    assert by_outputs.details["layers"]
    assert all(row["output_error"] <= 0.5 for row in by_outputs.details["layers"].values())
    by_weights = LowRank(error=0.5, judge="weights").apply(graph, x).history[-1]
    assert by_weights.details["judged_by"] == "weights"
    assert all(row["error"] <= 0.5 and "output_error" not in row for row in by_weights.details["layers"].values())


def test_errors_of_outputs_are_those_of_the_layer_on_the_data() -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(20, 16)
    x = torch.randn(300, 20) * torch.logspace(0, -2, 20)
    from edgekit.frontend.source import load

    graph = load(net, (x[:1],))
    row = LowRank(rank=3, method="svd").apply(graph, x.numpy()).history[-1].details["layers"]["weight"]
    u, s, v = torch.linalg.svd(net.weight.detach().double())
    low = (u[:, :3] * s[:3]) @ v[:3]
    y = x.double() @ net.weight.detach().double().T
    assert row["output_error"] == pytest.approx(float((y - x.double() @ low.T).norm() / y.norm()), rel=1e-4)
