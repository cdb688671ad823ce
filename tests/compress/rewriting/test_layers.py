"""Which layers are found: tied weights once, what else reads a weight, names that the user gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit import UsageError
from edgekit.compress.low_rank import LowRank
from edgekit.compress.rewriting.layers import find_layers
from edgekit.compress.separable import Separable
from edgekit.compress.steps import parse_steps
from edgekit.ir import QuantParams
from edgekit.ir.text import to_text
from tests.compress.prune.masked import largest_difference
from tests.compress.rewriting.networks import cnn, loaded, outputs


class Twice(nn.Module):
    """One convolution called at two resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.relu(self.conv(x))[:, :, ::2, ::2])  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Two convolutions that share a weight and have biases of their own, one with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(12, 12, 3), nn.Conv2d(12, 12, 3, stride=2)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("step", [Separable(multiplier=9), LowRank(energy=1.0), LowRank(rank=999, method="tucker2")])
def test_a_module_called_twice_is_rewritten_once(step: Separable | LowRank) -> None:
    step = type(step)(**{**step.options(), "allow_dearer": True})
    graph = loaded(Twice(), 12, 8, 8)
    small = step.apply(graph)
    x = torch.randn(2, 12, 8, 8)
    assert largest_difference(outputs(graph, x), outputs(small, x)) < 1e-5
    (row,) = small.history[-1].details["layers"].values()
    assert row["macs"] == [graph.macs, small.macs] and row["parameters"][0] == 12 * 12 * 9
    assert all(len(value.users) == 2 for name, value in small.state.items() if name.endswith(".weight"))


def test_tied_weights_stay_tied_under_all_of_their_names() -> None:
    graph = loaded(Tied(), 12, 9, 9)
    small = Separable(multiplier=99, allow_dearer=True).apply(graph)
    assert small.state["a.depthwise.weight"] is small.state["b.depthwise.weight"]
    assert small.state["a.pointwise.weight"] is small.state["b.pointwise.weight"]
    assert {"a.bias", "b.bias"} <= set(small.state) and small.state["a.bias"] is not small.state["b.bias"]
    x = torch.randn(2, 12, 9, 9)
    assert largest_difference(outputs(graph, x), outputs(small, x)) < 1e-5


def test_a_weight_that_something_else_reads_is_declined() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.head = nn.Linear(16, 50, bias=False)
            self.head.weight = self.embed.weight
            self.norm = nn.Conv1d(16, 16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = self.norm.weight / self.norm.weight.norm()
            y = nn.functional.conv1d(self.embed(x).transpose(1, 2), weight)
            return self.head(y.mean(2))  # type: ignore[no-any-return]

    from edgekit.frontend.source import load

    graph = load(Net(), (torch.zeros(1, 7, dtype=torch.int64),))
    layers, declined = find_layers(graph)
    assert not layers
    assert declined["embed.weight"].startswith("it is also read by")
    assert "its weight is computed, not constant" in declined.values()


def test_names_stand_for_parameters_and_modules_with_all_inside() -> None:
    graph = cnn()
    record = Separable(multiplier=1, layers=("stem", "body.0.weight"), keep=("body",)).apply(graph).history[-1]
    assert list(record.details["layers"]) == ["stem.0.weight"]
    assert record.declined["body.0.weight"] == "'body' was to be kept"
    record = Separable(multiplier=1, layers=("stem",)).apply(graph).history[-1]
    assert record.declined["body.0.weight"] == "it is not among the layers that were asked for"


def test_a_name_of_no_layer_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="'steam', which is not a layer"):
        Separable(multiplier=1, layers=("steam",)).apply(cnn())


def test_a_module_that_has_a_child_of_a_factors_name_keeps_it() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3)
            self.conv.depthwise = nn.Conv2d(8, 8, 3, groups=8)  # type: ignore[assignment]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv.depthwise(self.conv(x))  # type: ignore[no-any-return, operator]

    small = Separable(multiplier=1, layers=("conv.weight",)).apply(loaded(Net(), 8, 9, 9))
    assert {"conv.depthwise.weight", "conv.depthwise_1.weight", "conv.pointwise.weight"} <= set(small.state)
    small.module()


def test_a_bare_parameter_is_rewritten_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(8, 8, 3, 3), requires_grad=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.conv2d(x, self.w)

    small = Separable(multiplier=1).apply(loaded(Net(), 8, 9, 9))
    assert list(small.module().state_dict()) == ["w.depthwise.weight", "w.pointwise.weight"]
    assert not any(p.requires_grad for p in small.module().parameters())


@pytest.mark.parametrize("step", [Separable(multiplier=1, between="bn"), LowRank(error=0.5)])
def test_the_given_graph_is_left_as_it_is(step: Separable | LowRank) -> None:
    graph = cnn()
    text, data = to_text(graph), [v.tensor.detach().clone() for v in graph.constants()]
    x = torch.randn(32, 3, 8, 8).numpy()
    type(step)(**{**step.options(), "refit": True, "reestimate": True}).apply(graph, x)
    assert to_text(graph) == text and graph.history == ()
    assert all(torch.equal(a, v.tensor) for a, v in zip(data, graph.constants(), strict=True))


def test_a_quantised_graph_is_refused() -> None:
    from edgekit import Unsupported

    graph = cnn()
    graph.inputs[0].quant = QuantParams("int8", (0.1,), (0,))
    with pytest.raises(Unsupported, match="quantised"):
        Separable(multiplier=1).apply(graph)


def test_constants_count_for_macs_but_not_for_a_budget_of_parameters() -> None:
    graph = cnn()
    for name in ("stem.0.weight", "fc.weight"):
        graph.state[name].data = graph.state[name].tensor.detach()
    record = LowRank(parameters=0.8).apply(graph).history[-1]
    assert record.parameters[1] <= 0.8 * record.parameters[0] and "it is no parameter" in record.declined["fc.weight"]
    small = LowRank(error=0.8).apply(graph)
    assert not any(
        v.is_trainable for name, v in small.state.items() if name.startswith(("stem.0.", "fc.")) and "bias" not in name
    )
    assert "fc.weight" in small.history[-1].details["layers"] and small.macs < graph.macs


@pytest.mark.parametrize(
    "step",
    [
        Separable(error=0.3, between="bn_relu", keep=("conv1",), refit=True),
        Separable(multiplier=2, copies=False, seed=3),
        LowRank(macs=0.5, method="tucker2", round_to=8, iterations=3),
        LowRank(rank=4, method="svd", layers=("fc",), absorb=True),
    ],
)
def test_a_step_is_spelt_the_same_in_a_recipe(step: Separable | LowRank) -> None:
    name = "separable" if isinstance(step, Separable) else "low_rank"
    assert parse_steps([{"step": name, **step.options()}], None) == (step,)
