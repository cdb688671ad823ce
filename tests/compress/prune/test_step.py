"""The step: amounts, budgets, rounding, what is kept, its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import edgekit
from edgekit import OverBudget, Unsupported, UsageError
from edgekit.compress.prune import Prune
from edgekit.compress.prune.budget import MEASURES
from edgekit.frontend.source import load as load_source
from edgekit.ir import QuantParams
from edgekit.ir.file import load, save
from edgekit.ir.text import to_text
from tests.compress.prune.networks import small_graph

torch.set_num_threads(1)


@pytest.mark.parametrize("amounts", [{}, {"ratio": 0.5, "macs": 0.5}, {"parameters": 0.5, "bytes": 1000}])
def test_exactly_one_amount_is_given(amounts: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="exactly one amount"):
        Prune(**amounts)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ratio": 1.0}, "below 1"),
        ({"macs": -1}, "above 0"),
        ({"macs": float("inf")}, "above 0"),
        ({"ratio": 0.5, "criterion": "l7"}, "unknown criterion"),
        ({"ratio": 0.5, "scope": "everywhere"}, "unknown scope"),
        ({"ratio": 0.5, "round_to": 0}, "from 1"),
    ],
)
def test_a_wrong_option_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Prune(**wrong)


def test_the_step_is_public() -> None:
    assert edgekit.Prune is Prune


def test_the_given_graph_is_left_as_it_is() -> None:
    graph = small_graph()
    text, data = to_text(graph), [v.tensor.detach().clone() for v in graph.constants()]
    Prune(ratio=0.5).apply(graph)
    assert to_text(graph) == text and graph.history == ()
    assert all(torch.equal(a, v.tensor) for a, v in zip(data, graph.constants(), strict=True))


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("measure", ["macs", "parameters"])
def test_a_budget_is_met_and_used(measure: str, scope: str) -> None:
    graph, count = small_graph(), MEASURES[measure]
    small = Prune(**{measure: 0.6}, scope=scope, criterion="l1").apply(graph)  # type: ignore[arg-type]
    assert 0.4 * count(graph) < count(small) <= 0.6 * count(graph)
    amount = int(0.6 * count(graph))
    same = Prune(**{measure: amount}, scope=scope, criterion="l1").apply(graph)  # type: ignore[arg-type]
    assert count(same) <= amount


def test_a_budget_that_is_met_already_removes_nothing() -> None:
    small = Prune(macs=1.0).apply(small_graph())
    assert not small.history[-1].removed and "nothing was pruned" in small.history[-1].warnings[0]


def test_a_budget_that_cannot_be_met_says_what_can() -> None:
    with pytest.raises(OverBudget, match="one channel left"):
        Prune(macs=10).apply(small_graph())


@pytest.mark.parametrize("rounds", [{}, {"rounds": 2, "epochs": 1}])
def test_a_criterion_that_says_nothing_is_the_reason_of_a_missed_budget(rounds: dict[str, int]) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    with pytest.raises(OverBudget) as caught:
        Prune(macs=0.5, criterion="bn_scale", **rounds).apply(load_source(model, (torch.zeros(1, 4),)), None)
    assert "0.weight was left alone (no batch norm" in str(caught.value)


def test_layers_keep_a_multiple_of_the_simd_width() -> None:
    small = Prune(ratio=0.6, round_to=4).apply(small_graph())  # 8 -> 3.2 -> 4, 12 -> 4.8 -> 8
    assert [small.state[n].tensor_shape[0] for n in ("0.weight", "3.weight")] == [4, 8]


def test_a_name_to_keep_that_is_nobodys_is_refused() -> None:
    with pytest.raises(UsageError, match="'keep' names 'relu'"):
        Prune(ratio=0.5, keep=("relu",)).apply(small_graph())


def test_the_norm_of_a_layer_stands_for_its_channels() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Conv2d(3, 8, 1)
            self.bn = torch.nn.BatchNorm2d(8)
            self.b = torch.nn.Conv2d(8, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.bn(self.a(x)).relu())

    graph = load_source(Net().eval(), (torch.zeros(1, 3, 4, 4),))
    for name in ("bn", "bn.weight", "a.bias"):
        assert not Prune(ratio=0.5, keep=(name,)).apply(graph).history[-1].removed


def test_what_is_to_be_kept_is_kept_and_named() -> None:
    record = Prune(ratio=0.5, keep=("3",)).apply(small_graph()).history[-1]
    assert 0 not in record.removed["3.weight"] and record.declined["3.weight"] == "'3' was to be kept"


def test_a_layer_that_no_output_depends_on_is_named() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.unused = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2), torch.nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x).relu()
            self.unused(y)
            return self.b(y)  # type: ignore[no-any-return]

    record = Prune(ratio=0.5).apply(load_source(Net().eval(), (torch.zeros(1, 4),))).history[-1]
    assert "no output" in record.declined["unused.weight"]


def test_the_record_has_what_was_removed_and_what_it_gained() -> None:
    graph = small_graph()
    small = Prune(ratio=0.5, criterion="l1").apply(graph)
    (record,) = small.history
    assert record.step == "prune" and record.options == {"ratio": 0.5, "criterion": "l1"}
    assert record.macs == (graph.macs, small.macs) and record.parameters == (graph.parameters, small.parameters)
    assert set(record.removed) >= {"0.weight", "0.bias", "1.running_mean", "3.weight", "7.weight"}
    assert len(record.removed["3.weight"][0]) == 6 and len(record.removed["3.weight"][1]) == 4
    assert "model's output" in record.declined["7.weight"]


def test_a_pruned_graph_is_saved_with_its_record(tmp_path: Path) -> None:
    small = Prune(ratio=0.5).apply(small_graph())
    save(small, tmp_path / "small.ekg")
    again = load(tmp_path / "small.ekg")
    assert again.history[-1].removed == small.history[-1].removed
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(again.module().eval()(x), small.module().eval()(x))


def test_pruning_twice_works_on_what_is_left() -> None:
    once = Prune(ratio=0.5).apply(small_graph())
    twice = Prune(ratio=0.5).apply(once)
    assert twice.state["0.weight"].tensor_shape[0] == 2 and len(twice.history) == 2


def test_a_quantised_graph_is_refused() -> None:
    graph = small_graph()
    graph.inputs[0].quant = QuantParams("int8", (0.1,), (0,))
    with pytest.raises(Unsupported, match="quantised"):
        Prune(ratio=0.5).apply(graph)
