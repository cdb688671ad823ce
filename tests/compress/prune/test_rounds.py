"""Pruning in rounds: each judges importance anew, removes a little and trains; the last meets the amount."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from edgekit import Data, OverBudget, UsageError
from edgekit.compress.prune import Prune
from edgekit.ir import Graph
from edgekit.train import Training
from tests.compress.prune.networks import small_graph
from tests.train.networks import blobs, digits, same

torch.set_num_threads(1)
TRAINING = Training(batch_size=32, lr=0.01)


def channels(graph: Graph) -> list[int]:
    return [value.tensor_shape[0] for name, value in graph.state.items() if name.endswith("weight")]


@pytest.mark.parametrize("rounds", [2, 3])
@pytest.mark.parametrize("amount", [{"ratio": 0.5}, {"ratio": 0.5, "scope": "global"}, {"macs": 0.5}, {"parameters": 600}])
def test_the_last_round_meets_the_amount_as_one_shot_does(rounds: int, amount: dict[str, float]) -> None:
    graph = small_graph()
    once, slowly = Prune(**amount).apply(graph), Prune(**amount, rounds=rounds).apply(graph)
    if "ratio" in amount:
        assert sorted(channels(slowly)) == sorted(channels(once)) or "scope" in amount
        assert sum(channels(slowly)) == sum(channels(once))
    else:
        measure = next(iter(amount))
        budget = amount[measure] if amount[measure] > 1 else amount[measure] * getattr(graph, measure)
        assert getattr(slowly, measure) <= budget
    steps = [row["macs"] for row in slowly.history[0].details["rounds"]]
    assert len(steps) == rounds
    assert steps == sorted(steps, reverse=True)
    assert slowly.history[0].macs == (graph.macs, slowly.macs)


def test_what_all_rounds_removed_is_told_in_the_indices_of_the_graph_that_was_given() -> None:
    graph = digits()
    small = Prune(ratio=0.5, rounds=3, criterion="l1").apply(graph)
    for name, axes in small.history[0].removed.items():
        expected = graph.state[name].tensor.detach().numpy()
        for axis, indices in axes.items():
            expected = np.delete(expected, list(indices), axis)
        np.testing.assert_array_equal(small.state[name].tensor.detach().numpy(), expected)


def test_rounds_train_in_between_and_keep_their_curves() -> None:
    graph = digits()
    small = Prune(macs=0.5, rounds=2, epochs=3, training=TRAINING).apply(graph, Data(train=blobs()))
    record = small.history[0]
    assert [len(row["epochs"]) for row in record.details["rounds"]] == [3, 3]
    assert record.details["rounds"][1]["epochs"][-1]["training"]["top1"] > 0.8
    assert len(small.history) == 1
    assert record.options["training"] == {"batch_size": 32, "lr": 0.01}


def test_sparsity_is_trained_before_the_first_round_and_not_after_the_last() -> None:
    graph = digits()
    step = Prune(ratio=0.5, criterion="bn_scale", sparsity=0.02, epochs=4, training=Training(batch_size=16, lr=0.02))
    record = step.apply(graph, Data(train=blobs())).history[0]
    assert len(record.details["sparsity"]["epochs"]) == 4
    assert len(record.details["rounds"]) == 1
    plain = Prune(ratio=0.5, criterion="bn_scale", epochs=4, training=Training(batch_size=16, lr=0.02))
    assert "sparsity" not in plain.apply(graph, Data(train=blobs())).history[0].details


def test_the_same_seed_gives_the_same_network() -> None:
    step = Prune(macs=0.5, rounds=2, epochs=1, training=TRAINING, criterion="taylor")
    one, other = (step.apply(digits(), Data(train=blobs())) for _ in range(2))
    assert same(one, other)


def test_a_budget_that_cannot_be_met_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(OverBudget, match="cannot bring macs"):
        Prune(macs=3.0, rounds=2, epochs=100000).apply(digits(), Data(train=blobs()))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rounds": 0}, "'rounds' is a whole number from 1"),
        ({"epochs": -1}, "'epochs' is a whole number from 0"),
        ({"sparsity": 1e-4, "epochs": 1}, "scales of batch norms"),
        ({"sparsity": 1e-4, "criterion": "bn_scale"}, "for the training after each round"),
        ({"training": Training(lr=0.1)}, "for the training after each round"),
    ],
)
def test_a_wrong_option_of_rounds_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Prune(ratio=0.5, **wrong)  # type: ignore[arg-type]


def test_the_training_part_of_a_file_is_looked_at_and_never_the_test_part(tmp_path) -> None:  # type: ignore[no-untyped-def]
    x, y = blobs()
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x * np.float32(np.inf), y_test=y)
    Prune(ratio=0.5, criterion="taylor").apply(digits(), Data(train=str(tmp_path / "data.npz")))


@pytest.mark.parametrize("criterion", ["taylor", "apoz"])
def test_a_loader_is_looked_at_as_well_as_arrays(criterion: str) -> None:
    x, y = blobs()
    dataset = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    step = Prune(ratio=0.5, criterion=criterion)
    expected = step.apply(digits(), Data(train=(x, y))).history[0].removed
    assert step.apply(digits(), Data(train=dataset)).history[0].removed == expected
    assert step.apply(digits(), Data(train=DataLoader(dataset, batch_size=16))).history[0].removed == expected
