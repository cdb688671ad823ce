"""Separable: exact at full rank, as close as can be below, cheaper by the formula, or left alone by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit import UsageError
from edgekit.compress.prune import Prune
from edgekit.compress.separable import Separable
from edgekit.ir import ops
from tests.compress.prune.masked import largest_difference
from tests.compress.rewriting.networks import CONVOLUTIONS, cnn, conv_graph, loaded, outputs
from tests.rewrites import random_inputs

torch.set_num_threads(1)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("copies", [False, True])
def test_the_full_multiplier_is_exact(name: str, norm: bool, copies: bool) -> None:
    graph = conv_graph(name, bias=not norm, norm=norm)
    small = Separable(multiplier=99, copies=copies, allow_dearer=True).apply(graph)
    (row,) = small.history[-1].details["layers"].values()
    outputs_of, *taps = CONVOLUTIONS[name][1][0], *CONVOLUTIONS[name][1][2:]
    assert row["rank"] == [min(int(np.prod(taps)), outputs_of)] and row["error"] < 1e-6
    for x in random_inputs(graph, 2):
        assert largest_difference(outputs(graph, x), outputs(small, x)) < 1e-5


def test_a_lower_multiplier_is_as_close_as_the_singular_values_say() -> None:
    graph = conv_graph("plain")
    weight = graph.state["conv.weight"].tensor.detach().double().numpy()
    row = Separable(multiplier=2, allow_dearer=True).apply(graph).history[-1].details["layers"]["conv.weight"]
    values = [np.linalg.svd(weight[:, i].reshape(6, 9), compute_uv=False) for i in range(5)]
    lost = sum(float((s[2:] ** 2).sum()) for s in values)
    assert row["error"] == pytest.approx((lost / float((weight**2).sum())) ** 0.5, rel=1e-6)
    assert row["energy"] == pytest.approx(1 - row["error"] ** 2)


def test_two_to_four_channels_take_26_parameters_instead_of_72() -> None:
    graph = loaded(nn.Conv2d(2, 4, 3, bias=False), 2, 8, 8)
    small = Separable(multiplier=1).apply(graph)
    assert (graph.parameters, small.parameters) == (72, 26)
    assert (graph.macs, small.macs) == (72 * 36, 26 * 36)
    assert small.history[-1].details["layers"]["weight"]["parameters"] == [72, 26]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_relative_cost_is_that_of_the_mobilenet_paper(name: str) -> None:
    graph = conv_graph(name, bias=False)
    small = Separable(multiplier=1, allow_dearer=True).apply(graph)
    outputs_of, _, *kernel = CONVOLUTIONS[name][1]
    assert small.macs / graph.macs == pytest.approx(1 / outputs_of + 1 / np.prod(kernel))


def test_parameters_are_called_after_their_layer_and_the_bias_stays() -> None:
    graph = cnn()
    small = Separable(multiplier=1, layers=("body",)).apply(graph)
    names = list(small.state)
    assert "body.0.weight" not in names
    at = names.index("body.0.depthwise.weight")
    assert names[at : at + 3] == ["body.0.depthwise.weight", "body.0.pointwise.weight", "body.0.bias"]
    assert set(small.module().state_dict()) == set(names)
    assert torch.equal(small.state["body.0.bias"].tensor, graph.state["body.0.bias"].tensor)


def test_new_nodes_keep_the_place_in_the_users_model() -> None:
    graph = cnn()
    small = Separable(multiplier=1).apply(graph)
    (old,) = [n for n in graph.nodes if n.optional(1) is graph.state["stem.0.weight"]]
    chain = [
        n
        for n in small.nodes
        if n.optional(1) in (small.state["stem.0.depthwise.weight"], small.state["stem.0.pointwise.weight"])
    ]
    assert len(chain) == 2 and all(node.where == old.where for node in chain)
    assert chain[-1].name == old.name


def test_what_is_no_standard_convolution_is_left_alone_by_name() -> None:
    declined = Separable(multiplier=1).apply(cnn()).history[-1].declined
    assert declined["depth.weight"] == "it is a depthwise convolution already"
    assert declined["point.weight"] == "it is a pointwise convolution already"
    assert declined["fc.weight"] == "it is a linear layer, not a convolution"
    grouped = loaded(nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ConvTranspose2d(8, 2, 3)), 4, 8, 8)
    record = Separable(multiplier=1).apply(grouped).history[-1]
    assert record.declined == {"0.weight": "it is a convolution in 2 groups", "1.weight": "it is a transposed convolution"}
    assert "nothing was rewritten" in record.warnings[0]


def test_what_would_cost_more_is_refused_with_both_costs() -> None:
    graph = conv_graph("plain", bias=False)
    record = Separable(multiplier=9).apply(graph).history[-1]
    assert record.declined["conv.weight"].startswith("it would cost more: separable of rank 6 takes 270 parameters to 450")
    assert record.macs[0] == record.macs[1]


@pytest.mark.parametrize("activation", ["", "relu"])
def test_copies_of_the_input_compute_what_a_multiplier_does(activation: str) -> None:
    graph = cnn()
    x = torch.randn(64, 3, 8, 8)
    steps = [
        Separable(multiplier=2, copies=copies, between=activation or "none", refit=True, layers=("body",))
        for copies in (False, True)
    ]
    one, two = (step.apply(graph, x.numpy()) for step in steps)
    assert [n.op.groups for n in two.nodes if getattr(n.op, "groups", 1) > 1] == [32, 32]  # type: ignore[attr-defined]
    assert (one.macs, one.parameters) == (two.macs, two.parameters)
    assert largest_difference(outputs(one, x), outputs(two, x)) < 1e-4
    rows = [g.history[-1].details["layers"]["body.0.weight"] for g in (one, two)]
    assert rows[0]["output_error"] == pytest.approx(rows[1]["output_error"], rel=1e-6)


def test_the_highest_multiplier_is_kept_to() -> None:
    graph = cnn()
    rows = Separable(error=0.9, highest=1).apply(graph).history[-1].details["layers"].values()
    assert rows and all(row["rank"] == [1] for row in rows)
    assert not Separable(error=0.9, highest=1).apply(graph).history[-1].warnings
    with pytest.raises(UsageError, match="'highest'"):
        Separable(multiplier=2, highest=1)


@pytest.mark.parametrize("between", ["bn", "bn_relu", "relu6"])
def test_norm_and_activation_may_stand_between(between: str) -> None:
    graph = cnn()
    small = Separable(multiplier=1, between=between, layers=("body",)).apply(graph)
    record, plain = small.history[-1], Separable(multiplier=1, layers=("body",)).apply(graph)
    bn = "bn" in between
    assert (record.parameters[1] == plain.parameters + 32) is bn  # 16 channels: scale and offset
    assert ("body.0.bn.running_var" in small.state) is bn
    x = torch.randn(2, 3, 8, 8)
    same = largest_difference(outputs(plain, x), outputs(small, x)) < 1e-5
    assert same is (between == "bn")
    assert any("fine-tune" in w for w in record.warnings) is ("relu" in between)
    assert any("without data" in w for w in record.warnings) is bn


def test_with_data_the_norm_between_changes_nothing_in_training_either() -> None:
    graph = conv_graph("plain")
    x = torch.randn(64, 5, 9, 8) * 3 + 1
    small = Separable(multiplier=2, between="bn", allow_dearer=True).apply(graph, x.numpy())
    assert small.history[-1].details["batch_norms_set"] == 1
    assert not any("without data" in w for w in small.history[-1].warnings)
    plain = Separable(multiplier=2, allow_dearer=True).apply(graph, x.numpy())
    with torch.no_grad():
        assert largest_difference(outputs(plain, x), small.module().train()(x)) < 1e-5


@pytest.mark.parametrize("amounts", [{}, {"error": 0.5, "macs": 0.5}, {"multiplier": 1, "parameters": 10}])
def test_exactly_one_amount_is_given(amounts: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="exactly one amount"):
        Separable(**amounts)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"error": 1.0}, "below 1"),
        ({"macs": 0}, "above 0"),
        ({"multiplier": 0}, "from 1"),
        ({"multiplier": 1, "between": "bn_gelu"}, "unknown layer between"),
        ({"multiplier": 1, "judge": "eye"}, "unknown judge"),
        ({"multiplier": 1, "init": "zeros"}, "unknown init"),
    ],
)
def test_a_wrong_option_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Separable(**wrong)


def test_a_rewritten_graph_is_pruned_and_trains() -> None:
    graph = cnn()
    small = Separable(multiplier=1).apply(graph)
    smaller = Prune(ratio=0.5, criterion="l1").apply(small)
    assert smaller.state["body.0.pointwise.weight"].tensor_shape[0] == 16 and smaller.macs < small.macs / 2
    module = small.module().train()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    moved = [name for name, p in module.named_parameters() if not torch.equal(p, before[name])]
    assert {"stem.0.depthwise.weight", "stem.0.pointwise.weight"} <= set(moved)
    assert all(isinstance(n.op, ops.Conv2d) or n.op for n in small.nodes)


def test_the_step_is_public() -> None:
    assert edgekit.Separable is Separable
