"""Networks, labels and goals that exits could misunderstand: they work, or are refused and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit import InputError, OverBudget, UsageError
from edgekit.compress.context import Context
from edgekit.compress.early_exit.layout import features_axis
from edgekit.frontend.source import load
from edgekit.ir import Graph, ops
from tests.train.networks import blobs, graph_of

torch.set_num_threads(1)


class Small(nn.Module):
    """Two convolutions and a classifier, with a final activation if wanted."""

    def __init__(self, last: nn.Module | None = None, own: str = "") -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, stride=2), nn.ReLU())
        self.head, self.last = nn.Linear(8, 4), last or nn.Identity()
        if own:
            self.add_module(own, nn.ModuleList([nn.Linear(4, 4)]))
        self._own = own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        early = self.first(x)
        y = self.head(self.second(early).mean((2, 3)))
        if self._own:
            y = y + self.get_submodule(self._own)[0](early.mean((2, 3)))  # type: ignore[index]
        return self.last(y)  # type: ignore[no-any-return]


def network(**options: object) -> Graph:
    torch.manual_seed(0)
    return graph_of(Small(**options), (2, 1, 8, 8))  # type: ignore[arg-type]


def step(**options: object) -> ek.EarlyExit:
    return ek.EarlyExit(**{"at": ("first",), "epochs": 1, "mean_cost": 0.9, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [-1, 1])
def test_labels_that_are_nobodys_class_are_refused(shift: int) -> None:
    x, y = blobs(120)
    for options in ({}, {"freeze": False}):
        with pytest.raises(InputError, match=r"labels from .* for 4 classes"):
            step(**options).apply(network(), (x, y + shift))


def test_an_exit_where_the_network_answers_is_refused() -> None:
    with pytest.raises(UsageError, match="at 'head' the network itself answers"):
        step(at=("head",)).apply(network(), blobs(120))


@pytest.mark.parametrize(("own", "freeze"), [("exits", True), ("exits", False), ("early_exits", True)])
def test_a_networks_own_module_may_be_called_exits(own: str, freeze: bool) -> None:
    graph = network(own=own)
    exits = step(freeze=freeze).apply(graph, blobs(160))
    before = graph.state[f"{own}.0.weight"].tensor
    assert torch.equal(exits.state[f"{own}.0.weight"].tensor, before) == freeze
    assert f"{'early_exits' if own == 'exits' else 'exits'}.0.weight" in exits.state


def test_a_final_sigmoid_stands_behind_the_choice_so_that_all_exits_answer_alike() -> None:
    exits = step(at=("first",)).apply(network(last=nn.Sigmoid()), blobs(160))
    with torch.no_grad():
        answers = exits.module().eval()(torch.from_numpy(blobs(64, seed=3)[0]))
    assert float(answers.min()) >= 0 and float(answers.max()) <= 1
    choice = next(node for node in exits.nodes if isinstance(node.op, ops.ChooseExit))
    assert [reader.op.name for reader in choice.output.users] == ["sigmoid"]


def test_a_mean_cost_below_the_first_exits_is_refused_before_the_training() -> None:
    with pytest.raises(OverBudget, match=r"'.*' costs 0.* of the network already"):
        step(mean_cost=0.001).apply(network(), blobs(160))


def test_a_cost_that_is_paid_in_accuracy_is_told() -> None:
    x, _ = blobs(160)
    labels = np.random.default_rng(0).integers(0, 4, 160)  # heads can learn nothing here
    graph = network()
    trained = ek.FineTune(epochs=40, lr=0.02, batch_size=16).apply(graph, (x, labels))
    training = ek.Training(batch_size=16, validation=0.5)
    found = step(mean_cost=0.5, training=training).apply(trained, (x, labels)).history[-1]
    assert found.details["held_out"]["top1_of_last"] - found.details["held_out"]["top1"] > 0.01
    assert any("points of top-1 on what was held out" in text for text in found.warnings)


@pytest.mark.parametrize("frozen", [True, False])
def test_data_that_can_be_read_once_is_kept(frozen: bool) -> None:
    x, y = blobs(160)
    batches = ((x[i : i + 40], y[i : i + 40]) for i in range(0, 160, 40))
    one = step(freeze=frozen).apply(network(), ek.Data(train=batches))
    other = step(freeze=frozen).apply(network(), ek.Data(train=(x, y)))
    assert torch.equal(one.state["exits.0.weight"].tensor, other.state["exits.0.weight"].tensor)


def test_widths_of_data_that_can_be_read_once() -> None:
    x, y = blobs(160)
    once = ek.Data(train=((x[i : i + 40], y[i : i + 40]) for i in range(0, 160, 40)), evaluate=iter([(x, y)]))
    found = ek.Slimmable(widths=(0.5, 1.0), epochs=1).apply(network(), once)
    again = ek.Slimmable(widths=(0.5, 1.0), epochs=1).apply(network(), ek.Data(train=(x, y), evaluate=(x, y)))
    assert found.history[-1].details["sizes"] == again.history[-1].details["sizes"]
    once = ek.Data(train=((x[i : i + 40], y[i : i + 40]) for i in range(0, 160, 40)), evaluate=iter([(x, y)]))
    steps = (ek.FineTune(epochs=1), ek.Slimmable(widths=(0.5, 1.0), epochs=1))
    assert ek.Recipe(steps).apply(network(), once).history[-1].details["sizes"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (lambda y: y[:-2], "160 samples and 158 labels"),
        (lambda y: y.astype(np.float32), "one class a sample"),
        (lambda y: y + 7, "labels from 7 to"),
        (lambda y: 0 * y - 100, "no sample has a label|labels from -100"),
    ],
    ids=["count", "floats", "classes", "none"],
)
def test_evaluation_data_that_does_not_fit_is_refused_before_the_training(labels: Callable[[Any], Any], said: str) -> None:
    x, y = blobs(160)

    def stop(text: str) -> None:
        raise AssertionError(f"it trains: {text}")

    data = ek.Data(train=(x, y), evaluate=(x, labels(y)))
    with pytest.raises(InputError, match=said):
        step().apply(network(), data, context=Context(say=stop))
    with pytest.raises(InputError, match="float labels" if said.startswith("one") else said):
        ek.Slimmable(widths=(0.5, 1.0), epochs=1).apply(network(), data, context=Context(say=stop))


def test_an_evaluation_by_a_callable_is_said_to_see_the_whole() -> None:
    found = step().apply(network(), ek.Data(train=blobs(160), evaluate=lambda predict: {"some": 0.5})).history[-1]
    assert any("what was held out alone" in note for note in found.notes) and "evaluation" not in found.details


def test_weights_of_losses_are_in_the_order_of_the_places_that_were_named() -> None:
    given = [(("first", "second"), (3.0, 5.0, 1.0)), (("second", "first"), (5.0, 3.0, 1.0))]
    found = []
    for at, weights in given:
        exits = step(at=at, weights=weights, freeze=False).apply(network(), blobs(160))
        found.append(exits.history[-1].details["training"]["epochs"][0]["terms"])
    assert found[0] == pytest.approx(found[1])
    assert np.all([value > 0 for value in found[0].values()])


def test_a_sequence_is_understood_by_what_reads_it_also_behind_other_ops() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(7, 6), nn.Parameter(torch.zeros(1, 5, 6))
            self.conv, self.lstm = nn.Conv1d(6, 6, 3, padding=1), nn.LSTM(6, 6, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.places + self.words(x)  # nothing before says where features are
            y = torch.relu(self.conv(y.permute(0, 2, 1)).permute(0, 2, 1))
            return self.lstm(y)[0][:, -1]  # type: ignore[no-any-return]

    graph = load(Tokens(), (torch.zeros(2, 5, dtype=torch.long),))
    found = {node.op.name: features_axis(node.output) == 2 for node in graph.nodes if node.output.type.rank == 3}
    assert found["relu"] and found["conv1d"] is False and found["lstm"]


class Detector(Small):
    """A second output reads the last features: they are computed for every sample."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        features = self.second(self.first(x))
        return self.head(features.mean((2, 3))), features


def test_an_exit_that_another_output_makes_useless_is_told() -> None:
    torch.manual_seed(0)
    graph = graph_of(Detector(), (2, 1, 8, 8))
    found = step(output=graph.outputs[0].name, mean_cost=None, max_drop=100.0).apply(graph, blobs(160))
    (told,) = [text for text in found.history[-1].warnings if "still costs" in text]
    assert told.endswith("other outputs of the network need what comes later")
    assert not any("still costs" in text for text in step().apply(network(), blobs(160)).history[-1].warnings)
