"""A recipe applies its steps in order, measures each, and goes on where it was cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.compress.context import Context
from edgekit.compress.fine_tune import FineTune
from edgekit.compress.prune import Prune
from edgekit.compress.recipe import Recipe
from edgekit.compress.steps import STEPS, Step, parse_steps, step_class, step_name
from edgekit.data import Data
from edgekit.errors import ConfigError, UsageError
from edgekit.frontend.source import load as load_source
from edgekit.ir import Graph
from edgekit.ir.file import load as load_graph
from edgekit.train import Training
from edgekit.train.distillation import Distillation
from tests.train.networks import blobs, digits, same

torch.set_num_threads(1)

STEP = FineTune(epochs=2, batch_size=16, lr=0.01)
DATA = Data(train=blobs(), evaluate=blobs(48, seed=1))


def test_every_step_leaves_one_record_with_what_it_cost_and_gained() -> None:
    graph = digits()
    small = Recipe([Prune(ratio=0.5), STEP]).apply(graph, DATA)
    prune, tune = small.history
    assert [prune.step, tune.step] == ["prune", "fine_tune"]
    assert prune.macs == (graph.macs, small.macs)
    assert tune.metrics["top1"][0] == prune.metrics["top1"][1]
    assert tune.metrics["top1"][1] > tune.metrics["top1"][0]
    assert "head.weight" in prune.declined
    assert len(tune.details["epochs"]) == 2
    json.dumps([record.as_dict() for record in small.history], allow_nan=False)
    assert graph.history == ()


def test_without_evaluation_data_no_metrics_are_recorded() -> None:
    small = Recipe([Prune(ratio=0.5)]).apply(digits())
    assert small.history[0].metrics == {}


def test_a_graph_with_an_input_that_belongs_to_no_sample_is_pruned_without_metrics() -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

        def forward(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
            return self.inner(x * factor)

    graph = load_source(Scaled(), (torch.zeros(1, 4), torch.zeros(4)), batch_axes={"x": 0, "factor": None})
    small = Recipe([Prune(ratio=0.5)]).apply(graph, Data(evaluate=(np.zeros((5, 4), np.float32), np.zeros(5, np.int64))))
    assert small.history[0].metrics == {}
    assert small.macs < graph.macs


def test_a_callable_measures_what_it_likes() -> None:
    def judge(predict):  # type: ignore[no-untyped-def]
        return {"mean": float(predict(blobs(4)[0]).mean())}

    small = Recipe([Prune(ratio=0.5)]).apply(digits(), Data(evaluate=judge))
    assert set(small.history[0].metrics) == {"mean"}


def test_distillation_from_the_source_is_part_of_a_recipe() -> None:
    step = FineTune(epochs=1, batch_size=16, lr=0.01, distillation=Distillation(alpha=0.5))
    small = Recipe([Prune(ratio=0.5), step]).apply(digits(), DATA)
    record = small.history[1]
    assert set(record.details["epochs"][0]["terms"]) == {"task", "soft_targets"}
    assert any("worse than its student" in warning for warning in record.warnings)  # the source was never trained


def test_distillation_from_an_unknown_source_is_refused() -> None:
    with pytest.raises(UsageError, match='the teacher "source"'):
        FineTune(epochs=1, distillation=Distillation()).apply(digits(), DATA)


def test_a_teacher_in_a_file_is_loaded_from_the_folder_of_the_project(tmp_path: Path) -> None:
    digits().save(tmp_path / "teacher.ekg")
    step = FineTune(epochs=1, batch_size=16, distillation=Distillation(teachers=("teacher.ekg",)))
    small = step.apply(digits(), DATA, context=Context(root=tmp_path))
    assert "teacher.ekg" in small.history[0].details["teachers"]


def test_finished_steps_are_taken_from_the_folder(tmp_path: Path) -> None:
    recipe, said = Recipe([Prune(ratio=0.5), STEP]), []
    first = recipe.apply(digits(), DATA, folder=tmp_path)
    again = recipe.apply(digits(), DATA, folder=tmp_path, say=said.append)
    assert said == []
    assert same(first, again)
    assert [r.as_dict() for r in first.history] == [r.as_dict() for r in again.history]


def test_a_change_of_a_later_step_keeps_the_earlier_ones_and_of_the_data_none(tmp_path: Path) -> None:
    Recipe([Prune(ratio=0.5), STEP]).apply(digits(), DATA, folder=tmp_path)
    said: list[str] = []
    Recipe([Prune(ratio=0.5), FineTune(epochs=1)]).apply(digits(), DATA, folder=tmp_path, say=said.append)
    assert [line for line in said if line.startswith("step")] == ["step 2 of 2: fine_tune"]
    said.clear()
    x, y = blobs()
    other = Data(train=(x + np.float32(0.5), y), evaluate=DATA.evaluate)
    Recipe([Prune(ratio=0.5), STEP]).apply(digits(), other, folder=tmp_path, say=said.append)
    assert [line for line in said if line.startswith("step")] == ["step 1 of 2: prune", "step 2 of 2: fine_tune"]


STEPS_THAT_TRAIN = (
    Prune(macs=0.6, rounds=2, epochs=1, training=Training(batch_size=16, lr=0.01)),
    FineTune(epochs=2, batch_size=16, lr=0.01, augment="flip_crop"),
)

_SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from edgekit.compress.recipe import Recipe
from edgekit.data import Data
from edgekit.ir.file import load
from edgekit.train.checkpoint import Checkpoint
from tests.compress.test_recipe import STEPS_THAT_TRAIN
from tests.train.networks import blobs

folder, kill, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def die_at(owner, name, after):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if left < 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapped)

if kill == "training":
    import edgekit.train.loop
    edgekit.train.loop.train.__kwdefaults__["save_every"] = 0.0
    die_at(Checkpoint, "save", True)
elif kill == "pruning":
    import edgekit.compress.prune.application
    die_at(edgekit.compress.prune.application, "check", False)
else:
    from edgekit.ir.graph import Graph
    die_at(Graph, "save", kill == "saved")
Recipe(STEPS_THAT_TRAIN).apply(load(folder / "net.ekg"), Data(train=blobs()), folder=folder / "work")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    digits().save(folder / "net.ekg")
    Recipe(STEPS_THAT_TRAIN).apply(load_graph(folder / "net.ekg"), Data(train=blobs()), folder=folder / "work")
    return folder


@pytest.mark.parametrize(
    ("kill", "count"),
    [
        pytest.param("pruning", 2, marks=pytest.mark.slow),
        ("training", 4),
        pytest.param("training", 16, marks=pytest.mark.slow),
        ("saving", 0),
        pytest.param("saved", 1, marks=pytest.mark.slow),
    ],
)
def test_a_recipe_killed_in_the_middle_of_a_step_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: Path, kill: str, count: int
) -> None:
    digits().save(tmp_path / "net.ekg")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", _SCRIPT, str(tmp_path), kill, str(count)]
    killed = subprocess.run(arguments, env=environment, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "work").rglob("graph.ekg"))) < 2 or kill == "saved"
    Recipe(STEPS_THAT_TRAIN).apply(load_graph(tmp_path / "net.ekg"), Data(train=blobs()), folder=tmp_path / "work")
    one, other = (sorted((folder / "work").rglob("*")) for folder in (tmp_path, undisturbed))
    assert [p.relative_to(tmp_path) for p in one] == [p.relative_to(undisturbed) for p in other]
    for here, there in zip(tmp_path.rglob("graph.ekg"), undisturbed.rglob("graph.ekg"), strict=True):
        assert same(load_graph(here), load_graph(there))
        assert load_graph(here).text() == load_graph(there).text()


def test_an_error_of_a_step_says_which_step_it_was() -> None:
    with pytest.raises(UsageError, match="training needs data") as caught:
        Recipe([Prune(ratio=0.5), STEP]).apply(digits())
    assert caught.value.where == "step 2 of the recipe (fine_tune): the training data"


def test_something_that_is_no_step_is_refused() -> None:
    with pytest.raises(UsageError, match="step 2 of the recipe is no step"):
        Recipe([STEP, "prune"])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="step 1 of the recipe is no step"):
        Recipe([FineTune])  # type: ignore[list-item]


def test_a_step_that_leaves_no_record_is_a_bug_that_is_found() -> None:
    class Silent:
        def apply(self, graph: Graph, data: object | None = None) -> Graph:
            return graph.copy()

        def options(self) -> dict[str, object]:
            return {}

    with pytest.raises(TypeError, match="left 0 records"):
        Recipe([Silent()]).apply(digits())


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_of_the_table_is_a_step_of_that_name(name: str) -> None:
    cls = step_class(name)
    assert isinstance(cls, type)
    assert issubclass(cls, Step)
    assert STEPS[name][1] == cls.__name__


def test_tables_become_steps() -> None:
    tables = [
        {"step": "prune", "macs": 0.5, "keep": ["head"]},
        {"step": "fine_tune", "epochs": 3, "lr": 1, "distillation": {"alpha": 0.5, "features": [{"student": "relu"}]}},
    ]
    prune, tune = parse_steps(tables, None)
    assert prune == Prune(macs=0.5, keep=("head",))
    assert isinstance(tune, FineTune)
    assert tune.distillation is not None
    assert tune.distillation.features[0].student == "relu"
    assert [step_name(step) for step in (prune, tune)] == ["prune", "fine_tune"]


@pytest.mark.parametrize(
    ("table", "says", "hint"),
    [
        ({}, "[[recipe 1]] has no step", 'step = "prune"'),
        ({"step": "fine-tune"}, "unknown step 'fine-tune'", "did you mean 'fine_tune'"),
        ({"step": "fine_tune", "epoch": 3}, "unknown key 'epoch'", "did you mean 'epochs'"),
        ({"step": "fine_tune", "epochs": "3"}, "'recipe 1: fine_tune.epochs' must be an integer", ""),
        ({"step": "fine_tune", "lr": -1.0}, "'lr' is above 0", ""),
        ({"step": "fine_tune", "distillation": {"temprature": 3.0}}, "unknown key 'temprature'", "did you mean 'temperature'"),
        ({"step": "prune"}, "exactly one amount", "ratio = 0.5"),
    ],
)
def test_a_wrong_table_is_refused_by_its_number(tmp_path: Path, table: dict[str, object], says: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_steps([table], tmp_path / "edgekit.toml")
    assert says in caught.value.what
    assert hint in (caught.value.hint or "")
    assert "edgekit.toml" in str(caught.value.where)
