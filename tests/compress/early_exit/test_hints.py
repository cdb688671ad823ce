"""Heads that learn the features of the network's last layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit import Unsupported, UsageError
from edgekit.compress.early_exit.hints import Hint, hinted
from edgekit.ir import Graph
from tests.compress.early_exit.test_early_exit import Stages, noisy
from tests.train.networks import graph_of

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> Graph:
    torch.manual_seed(0)
    return graph_of(Stages(), (2, 1, 8, 8))


def test_the_term_is_the_share_of_the_wanted_features_energy_that_is_missed() -> None:
    wanted = torch.randn(6, 5, requires_grad=True)
    own = torch.randn(6, 5, requires_grad=True)
    term = Hint(0, "x", 3.0).term(own, wanted)
    missed = ((own - wanted).square().sum() / wanted.square().sum()).item()
    assert term.item() == pytest.approx(3 * missed, rel=1e-5)
    term.backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None and wanted.grad is None


@pytest.mark.parametrize("how", ["kept", "altered", "joint"])
def test_a_head_with_a_hint_comes_nearer_to_the_network_s_features_and_starts_from_its_last_layer(
    network: Graph, how: str
) -> None:
    training = ek.Training(optimizer="adam", lr=3e-3, batch_size=64, augment="flip_crop" if how == "altered" else "none")
    head = ek.Head(stages=(16,), blocks=1, hint=2.0)
    step = ek.EarlyExit(
        at=("first",), head=head, epochs=4, max_drop=50.0, training=training, self_distillation=0.5, freeze=how != "joint"
    )
    exits = step.apply(network, noisy(400))
    terms = [epoch["terms"]["hint_0"] for epoch in exits.history[-1].details["training"]["epochs"]]
    assert terms[-1] < 0.8 * terms[0]
    own, last = exits.state["exits.0.weight"].tensor, exits.state["head.weight"].tensor
    assert torch.nn.functional.cosine_similarity(own.flatten(), last.flatten(), 0) > 0.8


def test_a_hint_that_does_not_fit_is_refused(network: Graph) -> None:
    with pytest.raises(Unsupported, match="8 features, where the network's last layer reads 16") as caught:
        ek.EarlyExit(at=("first",), head=ek.Head(stages=(8,), hint=1.0), epochs=1, max_drop=1.0).apply(network, noisy(100))
    assert "16 channels" in str(caught.value)
    with pytest.raises(UsageError, match="no features of its own"):
        ek.Head(pool=2, hint=1.0)

    class Squared(Stages):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = super().forward(x)
            return y * y

    with pytest.raises(Unsupported, match="of no linear layer"):
        ek.EarlyExit(at=("first",), head=ek.Head(stages=(16,), hint=1.0), epochs=1, max_drop=1.0).apply(
            graph_of(Squared(), (2, 1, 8, 8)), noisy(100)
        )


def test_heads_without_hints_are_left_as_they_are() -> None:
    graph = graph_of(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), (2, 3))
    (end,) = graph.outputs
    assert hinted([ek.Head()], [end], end) == ()
