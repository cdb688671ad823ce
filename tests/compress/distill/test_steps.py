"""The steps that take several trainings: what they train, what they leave behind, and that they resume."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit import Prune
from edgekit.compress.context import Context
from edgekit.compress.distill import BornAgain, MutualLearning, TeacherAssistant
from edgekit.compress.distill.ensemble_graph import ensemble_graph
from edgekit.compress.recipe import Recipe
from edgekit.compress.steps import parse_steps
from edgekit.errors import UsageError
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.ir.file import load as load_file
from edgekit.train import Training
from edgekit.train.distillation import Distillation
from edgekit.train.loop import train

COMMON: dict[str, Any] = {"epochs": 4, "batch_size": 32, "lr": 0.02, "validation": 0.25}


class Small(nn.Module):
    def __init__(self, width: int = 8, softmax: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, 3)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(F.relu(self.norm(self.conv(x))).mean((2, 3)))
        return F.softmax(y, 1) if self.softmax else y


def small(seed: int, width: int = 8, softmax: bool = False) -> Graph:
    torch.manual_seed(seed)
    return load(Small(width, softmax), example_inputs=(torch.zeros(1, 1, 6, 6),))


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 120)
    waves = np.stack([np.sin(np.arange(6) * (1 + label)) for label in y]).astype(np.float32)
    return waves[:, None, None, :] + generator.normal(0, 0.2, (120, 1, 6, 6)).astype(np.float32), y.astype(np.int64)


@pytest.fixture(scope="module")
def teacher(data: tuple[np.ndarray, np.ndarray]) -> Graph:
    return train(small(0), data, Training(epochs=12, batch_size=16, lr=0.02, validation=0.25)).graph


def state(graph: Graph) -> dict[str, Tensor]:
    return dict(graph.module().state_dict())


def same(first: Graph, second: Graph) -> bool:
    a, b = state(first), state(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_mutual_learning_trains_the_graph_and_discards_its_peers(data: tuple[np.ndarray, np.ndarray]) -> None:
    graph = small(1)
    before = {name: tensor.clone() for name, tensor in state(graph).items()}
    result = MutualLearning(**COMMON, copies=2).apply(graph, data)
    (record,) = result.history
    assert record.step == "mutual_learning" and record.options["copies"] == 2
    assert record.details["peers"] == [graph.parameters] * 2 and result.parameters == graph.parameters
    assert list(record.details["epochs"][0]["terms"]) == ["task", "mutual"]
    assert record.details["epochs"][-1]["terms"]["task"] < record.details["epochs"][0]["terms"]["task"]
    assert all(torch.equal(before[name], tensor) for name, tensor in state(graph).items()) and not same(result, graph)


def test_a_peer_may_be_a_network_by_name(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    small(3, width=5).save(tmp_path / "peer.ekg")
    step = MutualLearning(**{**COMMON, "epochs": 1}, peers=("peer.ekg",), copies=0)
    result = step.apply(small(1), data, context=Context(root=tmp_path))
    assert result.history[0].details["peers"] == [small(3, width=5).parameters]


def test_generations_learn_from_each_other_in_order_and_start_anew(data: tuple[np.ndarray, np.ndarray], teacher: Graph) -> None:
    result = BornAgain(**{**COMMON, "epochs": 15, "batch_size": 16}, generations=2).apply(teacher, data)
    (record,) = result.history
    assert len(record.details["generations"]) == 2 and not same(result, teacher)
    first = record.details["generations"][0]
    assert list(first["epochs"][0]["terms"]) == ["task", "soft_targets"] and "source" in first["teachers"]
    x, y = (torch.from_numpy(a) for a in data)
    assert float((result.module().eval()(x).argmax(1) == y).float().mean()) > 0.8
    assert result.state.keys() == teacher.state.keys()


@pytest.mark.parametrize("softmax", [False, True])
def test_the_final_ensemble_is_the_mean_of_all_generations_in_one_graph(
    data: tuple[np.ndarray, np.ndarray], softmax: bool, tmp_path: Path
) -> None:
    graph = small(1, softmax=softmax)
    step = BornAgain(**{**COMMON, "epochs": 1}, generations=3, ensemble=True)
    result = step.apply(graph, data, context=Context(folder=tmp_path))
    last = dataclasses.replace(step, ensemble=False).apply(graph, data)
    assert result.parameters == 3 * graph.parameters and result.macs > 2.9 * graph.macs
    assert {name.split(".")[0] for name in result.state} == {"generation1", "generation2", "generation3"}
    x = torch.from_numpy(data[0])[:5]
    third = {n.removeprefix("generation3."): v for n, v in state(result).items() if n.startswith("generation3.")}
    assert all(torch.equal(third[name], tensor) for name, tensor in state(last).items())
    means = []
    for k in (1, 2, 3):
        module = Small(softmax=softmax)
        module.load_state_dict({n.split(".", 1)[1]: v for n, v in state(result).items() if n.startswith(f"generation{k}.")})
        means.append(module.eval()(x))
    found = result.module().eval()(x)
    torch.testing.assert_close(found, sum(means) / 3)  # type: ignore[arg-type]
    assert [v.name for v in result.outputs] == [v.name for v in graph.outputs]
    result.save(tmp_path / "ensemble.ekg")
    torch.testing.assert_close(load_file(tmp_path / "ensemble.ekg").module().eval()(x), found)


def test_an_ensemble_keeps_ties_and_can_be_pruned_and_trained() -> None:
    graphs = [small(k) for k in range(2)]
    merged = ensemble_graph(graphs)
    merged.verify()
    module = merged.module()
    module(torch.zeros(4, 1, 6, 6)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert all(not torch.equal(state(graphs[0])[n], state(merged)[f"generation2.{n}"]) for n in ("conv.weight",))
    module.train()(torch.randn(8, 1, 6, 6))
    assert torch.equal(state(graphs[0])["norm.running_mean"], torch.zeros(8))  # tensors are copies


def test_assistants_are_taught_in_a_chain_and_the_student_by_the_last(
    data: tuple[np.ndarray, np.ndarray], teacher: Graph
) -> None:
    student = Prune(ratio=0.5).apply(teacher)
    step = TeacherAssistant(**COMMON, assistants=(Prune(ratio=0.25),), distillation=Distillation(alpha=0.5))
    result = step.apply(student, data, context=Context(source=teacher))
    record = result.history[-1]
    assert len(result.history) == 2 and record.step == "teacher_assistant"
    (assistant,) = record.details["assistants"]
    assert teacher.parameters > assistant["parameters"] > result.parameters == student.parameters
    assert record.details["teachers"]["source"] != assistant["teachers"]["source"]  # the assistant, and the source itself
    with pytest.raises(UsageError, match="the first teacher is the network before compression"):
        step.apply(student, data)


def test_assistants_by_name_are_loaded(data: tuple[np.ndarray, np.ndarray], teacher: Graph, tmp_path: Path) -> None:
    (tmp_path / "nets_of_a_test.py").write_text(
        "import torch\nfrom torch import nn\n\ndef middle():\n"
        "    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))\n"
    )
    step = TeacherAssistant(**{**COMMON, "epochs": 1}, assistants=("nets_of_a_test:middle",))
    result = step.apply(small(2, width=2), data, context=Context(source=teacher, root=tmp_path))
    assert result.history[-1].details["assistants"][0]["parameters"] == 6 * 9 + 6 + 6 * 3 + 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MutualLearning(copies=0), "needs a peer"),
        (lambda: MutualLearning(weight=0.0), "'weight' is above 0"),
        (lambda: MutualLearning(epochs=-1), "'epochs' is a whole number"),
        (lambda: BornAgain(generations=0), "'generations' is a whole number"),
        (lambda: BornAgain(distillation=Distillation(teachers=("net:other",))), "the one before"),
        (lambda: TeacherAssistant(), "one or more networks or steps"),
        (lambda: TeacherAssistant(assistants=(3,)), "a network or a step, not 3"),
        (lambda: TeacherAssistant(assistants=("a.ekg",), distillation=Distillation(teachers=("b.ekg",))), "the one before"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_they_are_written_and_read_as_tables_of_a_recipe() -> None:
    steps = (
        MutualLearning(epochs=3, peers=("a.ekg",), copies=2, weight=0.5),
        BornAgain(generations=3, ensemble=True, distillation=Distillation(temperature=2.0)),
        TeacherAssistant(assistants=("net:middle", Prune(macs=0.75)), distillation=Distillation(alpha=1.0)),
    )
    names = ("mutual_learning", "born_again", "teacher_assistant")
    tables = [{"step": name, **step.options()} for name, step in zip(names, steps, strict=True)]
    assert tables[2]["assistants"] == ["net:middle", {"step": "prune", "macs": 0.75}]
    assert parse_steps(tables, None) == steps
    assert [step.options() for step in parse_steps([{"step": "born_again"}], None)] == [{}]


RECIPE = """
[[recipe]]
step = "prune"
ratio = 0.5

[[recipe]]
step = "fine_tune"
epochs = 3
batch_size = 32
validation = 0.25

[recipe.distillation]
alpha = 0.5
hint_epochs = 1

[[recipe.distillation.features]]
student = "conv"
loss = "hint"

[[recipe.distillation.features]]
student = "norm"
loss = "attention"

[[recipe]]
step = "teacher_assistant"
epochs = 1
batch_size = 32
assistants = [{ step = "prune", ratio = 0.25 }]
"""


def test_a_recipe_as_it_is_written_distils_the_pruned_network_by_its_source(
    data: tuple[np.ndarray, np.ndarray], teacher: Graph
) -> None:
    steps = parse_steps(tomllib.loads(RECIPE)["recipe"], None)
    result = Recipe(steps).apply(teacher, data)
    tuned, assisted = result.history[1:]
    terms = [list(epoch["terms"]) for epoch in tuned.details["epochs"]]
    assert terms == [["hint:conv"], *[["attention:norm", "task", "soft_targets"]] * 2]
    assert "source" in tuned.details["teachers"] and len(assisted.details["assistants"]) == 1
    assert result.parameters < teacher.parameters


def test_a_recipe_that_was_stopped_between_two_trainings_goes_on(
    data: tuple[np.ndarray, np.ndarray], teacher: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.compress.distill import application

    class Stopped(Exception):
        pass

    recipe = Recipe([BornAgain(**{**COMMON, "epochs": 2}, generations=3)])
    real, calls = application.tune, []

    def stops(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped
        return real(*arguments)

    monkeypatch.setattr(application, "tune", stops)
    with pytest.raises(Stopped):
        recipe.apply(teacher, data, folder=tmp_path)
    monkeypatch.setattr(application, "tune", real)
    resumed = recipe.apply(teacher, data, folder=tmp_path)
    assert same(resumed, recipe.apply(teacher, data))
