"""The ticket starts where the dense network started, with a mask of where that ended; the controls take one thing away."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.lottery.variants import same_sign, signed_constants
from edgekit.compress.steps import parse_steps
from edgekit.ir import Graph
from edgekit.train.fresh import untrained
from edgekit.train.loop import train
from tests.train.networks import graph_of, same
from tests.trained import digits

torch.set_num_threads(1)
HOW = ek.Training(batch_size=64, lr=0.01, optimizer="adam", weight_decay=0.0, validation=0.0)
NAMES = ["1.weight", "3.weight"]


@cache
def mlp() -> Graph:
    torch.manual_seed(0)
    return graph_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)), (1, 1, 8, 8))


@cache
def data() -> ek.Data:
    x, y, x_test, y_test = digits()
    return ek.Data(train=(x, y), evaluate=(x_test, y_test))


@cache
def found() -> Graph:
    step = ek.LotteryTicket(sparsity=0.9, rounds=2, epochs=4, training=HOW)
    return step.apply(mlp(), data())


def test_every_variant_is_in_the_record_as_plain_data() -> None:
    details = found().history[0].details
    assert set(details["trained"]) == {"dense", "ticket", "reinit", "signs"}
    assert details["trained"]["ticket"]["top1"] > 0.75
    assert details["trained"]["dense"]["top1"] > 0.9
    assert details["zeros"]["1.weight"] == [round(0.9 * 64 * 48), 64 * 48]
    output = 1 - (1 - 0.5 * (1 - 0.1**0.5)) ** 2
    assert details["zeros"]["3.weight"] == [round(output * 480), 480]
    assert [row["value"] for row in details["one_weight"]] == [-2.0, -1.0, -0.5, 0.5, 1.0, 2.0]
    assert set(details["trainings"]) == {"dense", "round-1", "round-2", "reinit", "signs"}
    assert all(len(one["epochs"]) == 4 for one in details["trainings"].values())
    assert "no dense kernel faster" in found().history[0].warnings[0]


def test_masks_on_an_untrained_network_are_far_above_chance() -> None:
    rows = found().history[0].details["supermask"]
    assert rows[0]["mask"] == "none" and rows[0]["top1"] < 0.3
    assert max(row["top1"] for row in rows if row["mask"].startswith("same sign")) > 0.5


def test_the_ticket_is_the_first_initialisation_masked_by_final_magnitudes_and_trained() -> None:
    """By hand: two trainings and a mask between."""
    ticket = ek.LotteryTicket(sparsity=0.6, rounds=1, epochs=2, training=HOW, output_rate=1.0, controls=()).apply(mlp(), data())
    begin = untrained(mlp(), 0)
    settings = ek.Training(epochs=2, batch_size=64, lr=0.01, optimizer="adam", weight_decay=0.0, validation=0.0)
    dense = train(begin, data(), settings).graph
    alive = {}
    for name in NAMES:
        size = dense.state[name].tensor.detach().abs()
        alive[name] = size >= np.sort(size.numpy().ravel())[round(0.6 * size.numel())]
    assert same(ticket, train(begin, data(), settings, alive=alive).graph)


def test_rewinding_to_an_early_epoch_starts_there() -> None:
    early = ek.LotteryTicket(sparsity=0.6, rounds=1, epochs=1, rewind=1, training=HOW, controls=()).apply(mlp(), data())
    late = ek.LotteryTicket(sparsity=0.6, rounds=1, epochs=1, training=HOW, controls=()).apply(mlp(), data())
    rows = [graph.history[0].details["trained"]["ticket"]["top1"] for graph in (early, late)]
    assert rows[0] > rows[1]


def test_an_untrained_graph_may_bring_its_own_initialisation() -> None:
    step = ek.LotteryTicket(sparsity=0.5, rounds=1, epochs=1, training=HOW, controls=("supermask",), fresh=False)
    given = untrained(mlp(), 7)
    fresh = ek.LotteryTicket(sparsity=0.5, rounds=1, epochs=1, training=HOW, controls=("supermask",), seed=7)
    assert same(step.apply(given, data()), fresh.apply(mlp(), data()))


def test_signed_constants_keep_signs_and_the_spread_of_the_layer() -> None:
    before = mlp().state["1.weight"].tensor.detach()
    after = signed_constants(mlp(), ["1.weight"]).state["1.weight"].tensor.detach()
    assert torch.equal(after.sign(), before.sign())
    np.testing.assert_allclose(after.abs().numpy(), before.numpy().std(), rtol=1e-5)


def test_weights_whose_sign_turned_go_even_where_there_is_room() -> None:
    begin, end = {"w": torch.tensor([1.0, -1.0, 1.0, 1.0])}, {"w": torch.tensor([3.0, 5.0, 0.5, -9.0])}
    assert same_sign(begin, end, {"w": 0.25})["w"].tolist() == [True, False, True, False]
    assert same_sign(begin, end, {"w": 0.75})["w"].tolist() == [True, False, False, False]


def test_a_killed_search_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    told: list[str] = []

    def killer(line: str) -> None:
        told.append(line)
        if len(told) == 4:
            raise Killed

    recipe = ek.Recipe([ek.LotteryTicket(sparsity=0.6, rounds=1, epochs=2, training=HOW, controls=("reinit",))])
    with pytest.raises(Killed):
        recipe.apply(mlp(), data(), folder=tmp_path, say=killer)
    resumed, undisturbed = recipe.apply(mlp(), data(), folder=tmp_path), recipe.apply(mlp(), data())
    assert same(resumed, undisturbed)
    assert resumed.history[0].details["trained"] == undisturbed.history[0].details["trained"]


def test_zeros_of_the_ticket_stay_in_later_trainings() -> None:
    after = ek.FineTune(epochs=1, batch_size=64).apply(found(), data())
    for name, (zeros, _) in found().history[0].details["zeros"].items():
        assert int((after.state[name].tensor == 0).sum()) == zeros


def test_without_anything_to_measure_with_it_is_refused() -> None:
    with pytest.raises(ek.UsageError, match="nothing to measure them with"):
        ek.LotteryTicket(sparsity=0.5).apply(mlp(), ek.Data(train=data().train))


def test_it_stands_in_a_recipe_by_its_name() -> None:
    (step,) = parse_steps([{"step": "lottery_ticket", "sparsity": 0.9, "controls": ["reinit"]}], None)
    assert step == ek.LotteryTicket(sparsity=0.9, controls=("reinit",))
    assert step.options() == {"sparsity": 0.9, "controls": ["reinit"]}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sparsity": 0.0}, "above 0 to below 1"),
        ({"rounds": 0}, "'rounds' is a whole number from 1"),
        ({"epochs": 0}, "'epochs' is a whole number from 1"),
        ({"rewind": -1}, "'rewind' is a number of epochs"),
        ({"output_rate": 2.0}, "'output_rate' is a part"),
        ({"controls": ("reint",)}, "unknown control 'reint'"),
    ],
)
def test_a_wrong_option_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ek.UsageError, match=says):
        ek.LotteryTicket(**{"sparsity": 0.5, **wrong})  # type: ignore[arg-type]
