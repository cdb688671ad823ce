"""Precisions of a small network, chosen for a budget and measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.mixed_precision.application import choose, fall_back
from edgekit.compress.mixed_precision.costs import FLOAT, INT8, INT16, PER_MAC, W4A8, price, slowdown
from edgekit.compress.mixed_precision.mixer import Mixer
from edgekit.compress.quantize.policy import ONNXRUNTIME, TFLM
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.errors import OverBudget, UsageError
from edgekit.ir import Graph
from edgekit.precision import Fallback, LayerPrecision, Precision, PrecisionBudget, PrecisionPlan
from tests.compress.quantize.prepared import prepared

X = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
OPTIONS = PostTraining("min_max", bias_correction=False)


class Net(nn.Module):
    """Two convolutions and a linear layer; the second convolution has most of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.wide = nn.Conv2d(8, 32, 3)
        self.fc = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.wide(torch.relu(self.first(x))))
        y: torch.Tensor = self.fc(x.mean((2, 3)))
        return y


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    return prepared(ek.load(Net().eval(), example_inputs=(X[:1],)))


def mixer(graph: Graph, *, slower: bool = True, **others: object) -> Mixer:
    return Mixer(graph, [[X]], options=OPTIONS, allow_slower=slower, **others)  # type: ignore[arg-type]


def size(graph: Graph, precision: Precision) -> int:
    return sum(price(node, precision).bytes for node in mixer(graph).nodes)


def test_a_budget_of_bytes_is_kept_with_the_layers_in_4_bits_that_hurt_least(graph: Graph) -> None:
    budget = (size(graph, INT8) + size(graph, W4A8)) // 2
    mixed = choose(mixer(graph), PrecisionBudget(bytes=budget))
    assert mixed.bytes <= budget
    assert "int4" in {choice.precision.weights for choice in mixed.choices}
    assert mixed.sqnr_db > choose(mixer(graph), PrecisionBudget(bytes=size(graph, W4A8))).sqnr_db


def test_a_budget_of_error_is_kept_by_measurement(graph: Graph) -> None:
    mixed = choose(mixer(graph), PrecisionBudget(min_sqnr_db=25.0))
    assert mixed.sqnr_db >= 25.0
    assert mixed.bytes < size(graph, INT8)


def test_nothing_that_makes_the_runtime_slower_is_chosen_unless_asked_for(graph: Graph) -> None:
    with pytest.raises(OverBudget, match="no choice of precisions keeps") as caught:
        choose(mixer(graph, slower=False), PrecisionBudget(bytes=size(graph, W4A8)))
    assert "allow_slower" in str(caught.value.hint)
    assert mixer(graph, slower=False).candidates == [[INT8]] * 3


def test_a_target_of_4_bits_has_asked_for_them(graph: Graph) -> None:
    four = PrecisionPlan(W4A8)
    assert mixer(graph, slower=False, fixed=four).candidates == [[INT8, W4A8]] * 3
    mixed = choose(mixer(graph, slower=False, fixed=four), PrecisionBudget(bytes=size(graph, W4A8)))
    assert {choice.precision for choice in mixed.choices} == {W4A8} and len(mixed.slower()) == 3


def test_4_bit_depthwise_convolutions_are_slower_on_x86_and_not_chosen_unasked() -> None:
    text = "graph g(%x: float32[N,4,8,8])\n@w: float32[4,1,3,3]\n@v: float32[3,4,3,3]\n"
    text += "%a = conv2d(%x, @w, groups=4)\n%y = conv2d(%a, @v)\nreturn %y"
    deep = prepared(text)
    assert mixer(deep, slower=False).candidates == [[INT8]] * 2
    assert W4A8 in mixer(deep).candidates[0]


@pytest.mark.parametrize(
    ("budget", "reached", "looser"),
    [
        (PrecisionBudget(bytes=10), "the layers take at least [0-9,]+", "more bytes"),
        (PrecisionBudget(min_sqnr_db=150.0), "[0-9.]+ dB is the most that was reached", "fewer decibels"),
        (PrecisionBudget(max_drop=0.0), "[0-9.]+ points is the least that was reached", "more points"),
    ],
    ids=["bytes", "error", "accuracy"],
)
def test_a_budget_that_cannot_be_kept_says_how_near_a_choice_comes(
    graph: Graph, score: Callable[[Graph], float], budget: PrecisionBudget, reached: str, looser: str
) -> None:
    with pytest.raises(OverBudget, match=reached) as caught:
        choose(mixer(graph, slower=False), budget, score)
    assert looser in str(caught.value.hint)


def test_where_every_layer_is_named_there_is_nothing_to_choose(graph: Graph) -> None:
    named = {name: LayerPrecision("int8", "int8") for name in ("first", "wide", "fc")}
    with pytest.raises(UsageError, match="all layers are named"):
        mixer(graph, fixed=PrecisionPlan(INT8, named))
    with pytest.raises(UsageError, match="no layer of this model has constant weights"):
        mixer(prepared("graph g(%x: float32[N,4])\n%y = relu(%x)\nreturn %y"))


def test_every_slower_choice_is_named_with_its_price(graph: Graph) -> None:
    mixed = choose(mixer(graph), PrecisionBudget(bytes=size(graph, W4A8)))
    assert [choice.layer for choice in mixed.slower()] == ["first.weight", "wide.weight", "fc.weight"]
    assert any("wide.weight: int4 weights" in line and "times int8's instructions" in line for line in mixed.lines())


def test_layers_that_the_user_named_are_left_alone(graph: Graph) -> None:
    fixed = PrecisionPlan(INT8, {"wide": LayerPrecision("int8", "int8")})
    mixed = choose(mixer(graph, fixed=fixed), PrecisionBudget(bytes=10_000))
    assert [choice.layer for choice in mixed.choices] == ["first.weight", "fc.weight"]
    assert mixed.plan.layers["wide"] == LayerPrecision("int8", "int8")


def outputs(graph: Graph) -> torch.Tensor:
    with torch.no_grad():
        return graph.module().eval().run([X])[0]


@pytest.fixture(scope="module")
def score(graph: Graph) -> Callable[[Graph], float]:
    """A metric that falls with every error: 100 less the error's share of the signal."""
    wanted = outputs(graph)
    return lambda other: 100.0 * (1.0 - float((outputs(other) - wanted).norm() / wanted.norm()))


def test_a_budget_of_accuracy_is_kept_with_fewer_bytes_than_int8(graph: Graph, score: Callable[[Graph], float]) -> None:
    mixed = choose(mixer(graph), PrecisionBudget(max_drop=4.0), score)
    assert mixed.drop is not None and 1.0 < mixed.drop <= 4.0
    assert mixed.bytes < size(graph, INT8)


def test_layers_fall_back_to_float_until_the_metric_is_kept(graph: Graph, score: Callable[[Graph], float]) -> None:
    four = PrecisionPlan(Precision("int4", "int8"))
    coarse = fall_back(mixer(graph, fixed=four), Fallback(100.0), score)
    assert coarse.drop is not None and FLOAT not in {choice.precision for choice in coarse.choices}
    fine = fall_back(mixer(graph, fixed=four), Fallback(coarse.drop * 0.8), score)
    assert {choice.precision for choice in fine.choices} == {FLOAT, W4A8}
    assert fine.drop is not None and fine.drop <= coarse.drop * 0.8


def test_what_no_layer_in_float_reaches_is_an_error(graph: Graph) -> None:
    falling = iter(range(100, 0, -1))
    with pytest.raises(OverBudget, match="with every layer in float the metric still drops"):
        fall_back(mixer(graph), Fallback(0.5), lambda _: float(next(falling)))


def test_a_runtime_without_float_layers_has_nothing_to_fall_back_to(graph: Graph, score: Callable[[Graph], float]) -> None:
    with pytest.raises(UsageError, match="TFLite Micro has no float layers to fall back to"):
        fall_back(mixer(graph, policy=TFLM), Fallback(1.0), score)


def test_a_drop_needs_a_metric(graph: Graph) -> None:
    with pytest.raises(UsageError, match="'max_drop' needs a metric"):
        choose(mixer(graph), PrecisionBudget(max_drop=1.0))
    with pytest.raises(UsageError, match="'max_drop' needs a metric"):
        fall_back(mixer(graph), Fallback(1.0))


def test_runtimes_without_counted_costs_are_priced_as_slower(graph: Graph) -> None:
    assert mixer(graph, slower=False, policy=ONNXRUNTIME).candidates == [[INT8]] * 3
    assert W4A8 in mixer(graph, policy=ONNXRUNTIME).candidates[0]
    assert mixer(graph, policy=TFLM).candidates == [[INT8]] * 3


def test_16_bit_activations_are_priced_at_ten_times_a_float_convolution(graph: Graph) -> None:
    node = mixer(graph).nodes[1]
    times = slowdown(node, INT16)
    assert times is not None and times > 10
    assert PER_MAC["convolution"][INT16][0] > 10 * PER_MAC["convolution"][FLOAT][0]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, "one of"),
        ({"bytes": 5, "max_drop": 1.0}, "one of"),
        ({"bytes": 0}, "above 0"),
        ({"min_sqnr_db": float("nan")}, "a number of decibels"),
        ({"max_drop": float("nan")}, "from 0 to 100"),
        ({"max_drop": 101.0}, "from 0 to 100"),
    ],
)
def test_a_budget_is_exactly_one_figure_that_can_be_kept(given: dict[str, float], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        PrecisionBudget(**given)  # type: ignore[arg-type]
