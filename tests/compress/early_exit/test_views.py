"""Altered versions of every sample that are made once: heads learn from them without the network."""

from __future__ import annotations

import pytest
import torch

import edgekit as ek
from edgekit import UsageError
from edgekit.compress.early_exit import features, frozen
from edgekit.ir import Graph
from tests.compress.early_exit.test_early_exit import Stages, noisy
from tests.train.networks import graph_of

torch.set_num_threads(1)

_ALTERED = ek.Training(optimizer="adam", lr=5e-3, batch_size=64, augment="flip_crop", validation=0.25)


@pytest.fixture(scope="module")
def network() -> Graph:
    torch.manual_seed(0)
    return graph_of(Stages(), (2, 1, 8, 8))


def test_heads_learn_from_so_many_versions_of_every_sample_and_the_network_is_not_among_what_is_trained(
    network: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: value.tensor.detach().clone() for name, value in network.state.items()}
    seen = []
    real = frozen.train

    def watched(graph: Graph, data: object, *args: object, **options: object) -> object:
        seen.append((graph, data))
        return real(graph, data, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(frozen, "train", watched)
    heads = (ek.Head(stages=(16,), hint=1.0), ek.Head(pool=2))
    step = ek.EarlyExit(
        at=("first", "second"), head=heads, views=3, epochs=6, max_drop=50.0, training=_ALTERED, self_distillation=0.5
    )
    exits = step.apply(network, noisy(400))
    ((graph, data),) = seen
    (deep, grid, wanted, told), labels = data  # type: ignore[misc]
    held = exits.history[-1].details["held_out"]["samples"]
    assert len(deep) == len(labels) == 3 * (400 - held) and deep.shape[1:] == (8, 8, 8) and deep.dtype == "float16"
    assert grid.shape[1:] == (64,) and wanted.shape[1:] == (16,) and told.shape[1:] == (4,) and told.dtype == "float32"
    first, second = deep[: 400 - held], deep[400 - held : 2 * (400 - held)]
    assert not (first == second).all()  # other versions, in another order
    assert all(name.startswith("exits.") for name in graph.state)
    assert all(torch.equal(exits.state[name].tensor, tensor) for name, tensor in before.items())
    losses = [epoch["loss"] if "loss" in epoch else sum(epoch["terms"].values()) for epoch in _epochs(exits)]
    assert losses[-1] < losses[0]


def _epochs(graph: Graph) -> list[dict]:  # type: ignore[type-arg]
    return graph.history[-1].details["training"]["epochs"]  # type: ignore[no-any-return]


def test_views_that_nothing_alters_that_change_or_that_fill_the_memory_are_refused(
    network: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="nothing alters them"):
        ek.EarlyExit(at=("first",), views=2, max_drop=1.0)
    with pytest.raises(UsageError, match="here it changes"):
        ek.EarlyExit(at=("first",), views=2, max_drop=1.0, freeze=False, training=_ALTERED)
    monkeypatch.setattr(features, "_MOST_OF_VIEWS", 1 << 20)
    step = ek.EarlyExit(at=("first",), head=ek.Head(stages=(8,)), views=9, epochs=1, max_drop=1.0, training=_ALTERED)
    with pytest.raises(UsageError, match="9 views of") as caught:
        step.apply(network, noisy(400))
    assert "views = 3" in str(caught.value)
