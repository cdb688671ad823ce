"""What every step records: the options that were given, and what the user should know, as warnings or as notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.compress.binarize import Binarize
from edgekit.compress.cluster import Cluster
from edgekit.compress.context import Context
from edgekit.compress.equalize import Equalize
from edgekit.compress.fine_tune import FineTune
from edgekit.compress.given import options_of
from edgekit.compress.lottery import LotteryTicket
from edgekit.compress.low_rank import LowRank
from edgekit.compress.prune import Prune, rounds
from edgekit.compress.separable import Separable
from edgekit.compress.sparsify import Sparsify
from edgekit.compress.steps import Step, parse_steps, step_name
from edgekit.data import Data
from edgekit.ir.history import StepRecord
from edgekit.train import Training
from edgekit.train.distillation import Distillation
from tests.train.networks import blobs, digits

torch.set_num_threads(1)

DATA = Data(train=blobs(), evaluate=blobs(48, seed=1))


@pytest.mark.parametrize(
    "step",
    [
        Prune(macs=0.5, keep=("head",), epochs=1, training=Training(lr=0.1), distillation=Distillation(alpha=0.5)),
        Sparsify(sparsity=0.5),
        LotteryTicket(sparsity=0.9, controls=("signs",), training=Training(optimizer="sgd")),
        LowRank(error=0.1, layers=("head",)),
    ],
    ids=lambda step: step_name(step),
)
def test_the_options_of_a_step_read_back_as_the_step(step: Step) -> None:
    table = {"step": step_name(step), **step.options()}
    assert parse_steps([table], Path("edgekit.toml")) == (step,)


def test_only_what_was_given_is_among_the_options() -> None:
    assert options_of(Prune(macs=0.5, keep=("a",))) == {"macs": 0.5, "keep": ["a"]}
    assert options_of(Sparsify(sparsity=0.0)) == {"sparsity": 0.0}  # a field without a default is always given


@pytest.mark.parametrize("step", ["fine_tune", "prune", "sparsify"])
def test_a_teacher_that_could_not_be_compared_is_noted_and_no_warning(step: str) -> None:
    how: dict[str, Any] = {"batch_size": 32, "validation": 0.0}
    teach = Distillation(alpha=0.5)
    steps: dict[str, Step] = {
        "fine_tune": FineTune(epochs=1, distillation=teach, **how),
        "prune": Prune(ratio=0.5, epochs=1, rounds=2, training=Training(**how), distillation=teach),
        "sparsify": Sparsify(sparsity=0.5, epochs=1, training=Training(**how), distillation=teach),
    }
    record = steps[step].apply(digits(), DATA, context=Context(source=digits())).history[-1]
    assert len(record.notes) == 1  # once, although it was trained twice
    assert "'source' was not compared with its student: nothing was held out" in record.notes[0]
    assert not any("teacher" in warning for warning in record.warnings)


def test_a_teacher_that_was_compared_needs_no_note() -> None:
    step = FineTune(epochs=1, batch_size=32, distillation=Distillation(alpha=0.5))
    assert step.apply(digits(), DATA, context=Context(source=digits())).history[-1].notes == ()


def test_what_the_training_before_the_first_round_warns_of_is_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    real = rounds.tune

    def tune(*args: Any) -> Any:
        tuned = real(*args)
        return replace(tuned, warnings=("before the first round",), notes=("noted",)) if args[2].sparsity else tuned

    monkeypatch.setattr(rounds, "tune", tune)
    step = Prune(ratio=0.5, criterion="bn_scale", sparsity=1e-3, epochs=1, training=Training(batch_size=32))
    record = step.apply(digits(), DATA).history[-1]
    assert record.warnings == ("before the first round",)
    assert record.notes == ("noted",)


def test_a_record_with_notes_survives_json_and_one_without_reads_as_before() -> None:
    record = StepRecord("prune", notes=("noted",))
    assert StepRecord.from_dict(record.as_dict()) == record
    old = {key: value for key, value in record.as_dict().items() if key != "notes"}
    assert StepRecord.from_dict(old).notes == ()


@pytest.mark.parametrize(
    "step",
    [
        Prune(ratio=0.5),
        LowRank(macs=0.6),
        Separable(error=0.9),
        Sparsify(sparsity=0.5),
        Cluster(bits=3),
        Equalize(),
        FineTune(epochs=0),
        Binarize(epochs=0, layers=("*",)),
    ],
    ids=lambda step: step_name(step),
)
def test_who_trains_a_result_leaves_the_graph_before_as_it_was(step: Step) -> None:
    """In a loop of one's own, with a teacher that is the network before compression."""
    graph = digits()
    before = {name: value.tensor.detach().clone() for name, value in graph.state.items()}
    x, y = (torch.from_numpy(part) for part in blobs())
    module = step.apply(graph, DATA).module().train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(module(x), y).backward()
    optimizer.step()
    assert all(torch.equal(value.tensor, before[name]) for name, value in graph.state.items())
