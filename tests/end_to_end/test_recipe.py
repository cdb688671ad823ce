"""`edgekit build` with a recipe: it runs once for all targets, and the report tells what each step cost and gained."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import edgekit as ek
from edgekit import UsageError
from edgekit.bench import qemu
from edgekit.report.files import SCHEMA_PATH
from tests.end_to_end.projects import Project
from tests.train.networks import blobs, digits

NET = """
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(F.relu(self.inner(x)).flatten(1))
"""

RECIPE = """
[[recipe]]
step = "fine_tune"
epochs = 3
batch_size = 16
lr = 0.01

[[recipe]]
step = "prune"
macs = 0.5
rounds = 2
epochs = 2
training = { batch_size = 16, lr = 0.01 }
distillation = { alpha = 0.5 }
"""


def written(project: Project, recipe: str = RECIPE, targets: str = '["tflite-int8", "onnx-fp32"]', extra: str = "") -> Project:
    """A project with a network, data of three kinds and this recipe."""
    model = project.model(NET)
    for name, seed in (("train", 0), ("test", 1)):
        x, y = blobs(96, seed=seed)
        project.npz(f"{name}.npz", x=x, y=y)
    project.write(
        f'model = "{model}"\nname = "net"\ntargets = {targets}\ntrain = "train.npz"\ncalibration = "train.npz"\n'
        f'evaluate = "test.npz"\n{extra}{recipe}',
        "edgekit.toml",
    )
    return project


def report(project: Project, target: str = "tflite-int8") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / "edgekit-out" / target / "report.json").read_text())
    return found


def artifacts(project: Project) -> dict[str, bytes]:
    out = project.folder / "edgekit-out"
    return {path.parent.name: path.read_bytes() for path in [*out.rglob("net.tflite"), *out.rglob("net.onnx")]}


def test_a_recipe_runs_once_before_all_targets_and_is_reported(project: Project) -> None:
    result = written(project).build("--dump", "dump")
    assert result.code == 0, result.err
    for target in ("tflite-int8", "onnx-fp32"):
        found = report(project, target)
        jsonschema.validate(found, json.loads(SCHEMA_PATH.read_text()))
        tune, prune = found["history"]
        assert [tune["step"], prune["step"]] == ["fine_tune", "prune"]
        assert tune["metrics"]["top1"][1] > 0.9
        assert prune["metrics"]["top1"][0] == tune["metrics"]["top1"][1]
        assert prune["macs"][1] <= 0.5 * prune["macs"][0]
        assert prune["declined"]["head.weight"] == "it reaches the model's output 'head'"
        assert [len(row["epochs"]) for row in prune["details"]["rounds"]] == [2, 2]
        assert found["source_graph"]["macs"] > found["graph"]["macs"]
        assert {row["against"] for row in found["verification"]} <= {"graph", "simulation"}
        (top1,) = (row for row in found["evaluation"] if row["metric"] == "top1")
        assert top1["source"] < 0.5 < 0.9 < top1["artifact"]  # the source was never trained
        assert found["config"]["train"] == "train.npz"
    assert (project.folder / "dump" / "0-compressed.ekg").is_file()
    page = (project.folder / "edgekit-out" / "tflite-int8" / "report.html").read_text()
    assert page.count('class="plot curve"') == 2  # loss and accuracy over all trainings
    assert "What the steps left alone" in page


def test_the_terminal_shows_every_step(project: Project) -> None:
    text = written(project, targets='["tflite-int8"]').build().out
    assert "fine tune" in text
    assert "prune" in text
    assert "top1" in text
    assert "head.weight" in text


def test_an_unchanged_build_with_a_recipe_is_a_no_op_and_its_own_files_do_not_disturb_it(project: Project) -> None:
    written(project)
    assert project.build().code == 0
    first = artifacts(project)
    again = project.build()
    assert "up to date" in again.out
    x, y = blobs(96, seed=3)
    project.npz("train.npz", x=x, y=y)
    changed = project.build()
    assert "up to date" not in changed.out
    assert artifacts(project) != first


def test_another_target_takes_the_recipes_result_from_the_output_folder(project: Project) -> None:
    written(project, targets='["onnx-fp32"]')
    assert project.build().code == 0
    before = report(project, "onnx-fp32")["history"]
    assert project.build("--target", "tflite-fp32").code == 0
    after = report(project, "tflite-fp32")["history"]
    assert [r["seconds"] for r in before] == [r["seconds"] for r in after]


@pytest.mark.slow
def test_a_build_killed_in_its_recipe_goes_on_and_ends_with_the_same_artifacts(project: Project, tmp_path: Path) -> None:
    written(project)
    prelude = """
import os, signal
from edgekit.train.checkpoint import Checkpoint
real, left = Checkpoint.save, [4]
def save(self, folder):
    real(self, folder)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.save = save
"""
    assert project.process("build", prelude=prelude).code == -signal.SIGKILL
    assert not artifacts(project)
    resumed = project.process("build")
    assert resumed.code == 0, resumed.err
    built = artifacts(project)
    (project.folder / "edgekit-out").rename(tmp_path / "first")
    undisturbed = project.process("build")
    assert undisturbed.code == 0, undisturbed.err
    assert artifacts(project) == built


def test_a_cameras_bytes_train_as_the_build_takes_them(project: Project) -> None:
    """The same samples as bytes in another layout, with preprocessing declared, train to the same network."""
    x, y = blobs(96)
    raw = np.clip(x * 40 + 100, 0, 255).astype(np.uint8)
    recipe = '\n[[recipe]]\nstep = "fine_tune"\nepochs = 2\nbatch_size = 16\n'
    declared = '[input.x]\nscale = 255\nmean = 0.25\nstd = 0.5\nlayout = "NHWC"\n'
    written(project, recipe, '["onnx-fp32"]', extra=declared)
    for name in ("train", "test"):
        project.npz(f"{name}.npz", x=raw.transpose(0, 2, 3, 1), y=y)
    assert project.build().code == 0
    as_bytes = report(project, "onnx-fp32")["history"][0]
    written(project, recipe, '["onnx-fp32"]')
    for name in ("train", "test"):
        project.npz(f"{name}.npz", x=((raw / 255 - 0.25) / 0.5).astype(np.float32), y=y)
    assert project.build("--force").code == 0
    as_floats = report(project, "onnx-fp32")["history"][0]
    losses = [[e["terms"]["task"] for e in record["details"]["epochs"]] for record in (as_bytes, as_floats)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert as_bytes["metrics"]["top1"] == pytest.approx(as_floats["metrics"]["top1"], abs=0.03)


def test_a_callable_gives_a_loader_and_a_callable_of_the_users_evaluates(project: Project) -> None:
    recipe = '\n[[recipe]]\nstep = "fine_tune"\nepochs = 1\nvalidation = 0.0\n'
    declared = "[input.x]\nscale = 255\n"
    written(project, recipe, '["onnx-fp32"]', extra=declared)
    project.write(
        """
        import numpy as np
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        def train():
            x = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8)
            return DataLoader(TensorDataset(x, (x.float().mean((1, 2, 3)) > 127).long()), batch_size=16)

        def judge(predict):
            outputs = predict(np.full((5, 1, 8, 8), 255, np.uint8))
            return {"count": len(outputs), "mean": float(np.mean(outputs))}
        """,
        "my_data.py",
    )
    text = (project.folder / "edgekit.toml").read_text()
    text = (
        text.replace('"train.npz"', '"my_data:train"', 1)
        .replace('"test.npz"', '"my_data:judge"')
        .replace('calibration = "train.npz"\n', "")
    )
    (project.folder / "edgekit.toml").write_text(text)
    result = project.build()
    assert result.code == 0, result.err
    assert report(project, "onnx-fp32")["history"][0]["metrics"]["count"] == [5.0, 5.0]


@pytest.mark.parametrize(
    ("recipe", "says", "hint"),
    [
        ('\n[[recipe]]\nstep = "prun"\n', "unknown step 'prun'", "did you mean 'prune'"),
        ('\n[[recipe]]\nstep = "prune"\nmac = 0.5\n', "unknown key 'mac'", "did you mean 'macs'"),
        ('\n[[recipe]]\nstep = "fine_tune"\noptimizer = "sdg"\n', "unknown optimizer 'sdg'", "did you mean 'sgd'"),
        ('\n[[recipe]]\nstep = "prune"\nmacs = 0.0001\n', "cannot bring macs", "larger budget"),
    ],
)
def test_a_wrong_recipe_is_refused_in_three_parts(project: Project, recipe: str, says: str, hint: str) -> None:
    result = written(project, recipe).build()
    assert result.code in (2, 3)
    assert says in result.err
    assert hint in result.err
    assert not artifacts(project)


def test_training_without_data_says_which_key_names_it(project: Project) -> None:
    written(project)
    text = (project.folder / "edgekit.toml").read_text().replace('train = "train.npz"\n', "")
    (project.folder / "edgekit.toml").write_text(text)
    result = project.build()
    assert result.code == 2
    what, _, hint = result.parts()
    assert what == "training needs data"
    assert 'train = "data.npz"' in hint


def test_training_without_accelerate_names_the_extra(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "accelerate", None)
    result = written(project).build()
    assert result.code == 2
    what, _, hint = result.parts()
    assert "needs 'accelerate'" in what
    assert 'pip install "edgekit[train]"' in hint


def test_a_callable_is_called_in_every_build_so_that_new_data_is_trained_with(project: Project) -> None:
    recipe = '\n[[recipe]]\nstep = "fine_tune"\nepochs = 1\nbatch_size = 16\n'
    written(project, recipe, '["onnx-fp32"]')
    project.write(
        """
        from pathlib import Path
        import numpy as np

        def train():
            with np.load(Path(__file__).parent / "raw.npz") as raw:
                return raw["x"], raw["y"]
        """,
        "raw_data.py",
    )
    text = (project.folder / "edgekit.toml").read_text().replace('train = "train.npz"', 'train = "raw_data:train"')
    (project.folder / "edgekit.toml").write_text(text)
    built = []
    for seed in (0, 0, 5):
        x, y = blobs(96, seed=seed)
        project.npz("raw.npz", x=x, y=y)
        result = project.build("--force") if len(built) == 1 else project.build()  # the second takes the finished step
        assert result.code == 0, result.err
        assert "up to date" not in result.out
        built.append(artifacts(project)["onnx-fp32"])
    assert built[0] == built[1] != built[2]


@pytest.mark.slow
@pytest.mark.skipif(bool(qemu.missing()), reason="counting instructions is not set up here")
def test_a_measured_budget_is_of_the_file_that_the_build_makes(project: Project) -> None:
    result = written(project, '\n[[recipe]]\nstep = "prune"\ninstructions = 0.7\n', '["tflite-int8"]').build()
    assert result.code == 0, result.err
    found = report(project)["history"][0]["details"]["measured"]
    assert found["file"] == "tflite-int8" and found["share"] <= 0.7
    counted = qemu.count_instructions(project.folder / "edgekit-out" / "tflite-int8" / "net.tflite")
    assert abs(counted / found["after"] - 1) < 0.01  # the artifact's ranges were chosen with more care
    assert "on qemu:cortex-a53" in result.out


def test_a_recipe_object_builds_what_its_tables_build(tmp_path: Path) -> None:
    x, y = blobs(96)
    how: dict[str, Any] = {"calibration": x, "evaluate": blobs(48, seed=1), "train": (x, y)}
    steps = ek.Recipe([ek.Prune(macs=0.5), ek.FineTune(epochs=2, batch_size=16, lr=0.01)])
    tables = [{"step": "prune", "macs": 0.5}, {"step": "fine_tune"}]
    training = ek.Training(epochs=2, batch_size=16, lr=0.01)
    one = ek.build(digits(), "tflite-int8", recipe=steps, output=tmp_path / "one", **how)
    other = ek.build(digits(), "tflite-int8", recipe=tables, training=training, output=tmp_path / "other", **how)
    assert one.artifact.read_bytes() == other.artifact.read_bytes()
    assert [table["step"] for table in one.report.config["recipe"]] == ["prune", "fine_tune"]
    assert one.report.config["recipe"][1]["epochs"] == 2
    assert [record["step"] for record in one.report.history] == ["prune", "fine_tune"]
    with pytest.raises(UsageError, match="'training' fills in tables"):
        ek.build(digits(), "tflite-int8", recipe=steps, training=training, output=tmp_path / "one", **how)


def test_the_table_training_is_the_default_of_all_trainings(project: Project) -> None:
    recipe = '\n[training]\nbatch_size = 16\nlr = 0.02\n\n[[recipe]]\nstep = "fine_tune"\nepochs = 1\n'
    result = written(project, recipe, '["tflite-fp32"]').build()
    assert result.code == 0, result.err
    record = report(project, "tflite-fp32")["history"][0]
    assert record["options"] == {"batch_size": 16, "lr": 0.02, "epochs": 1}
    result = written(project, recipe.replace("batch_size", "batchsize"), '["tflite-fp32"]').build()
    assert result.code == 2 and "did you mean 'batch_size'?" in result.err and "edgekit.toml" in result.err


def test_controls_are_in_all_reports(project: Project) -> None:
    tune = 'step = "fine_tune"\nepochs = 1\nbatch_size = 32\ncontrols = true\n'
    recipe = f'\n[[recipe]]\nstep = "prune"\nmacs = 0.5\n\n[[recipe]]\n{tune}'
    result = written(project, recipe, '["tflite-fp32"]').build("--strict", "--max-drop", "100")
    assert result.code == 0, result.err  # what the controls say is no failure
    document = report(project, "tflite-fp32")
    jsonschema.validate(document, json.loads(SCHEMA_PATH.read_text()))
    rows = document["history"][1]["details"]["controls"]
    assert [row["trained_epochs"] for row in rows.values()] == [1, 1, 2]
    page = (project.folder / "edgekit-out" / "tflite-fp32" / "report.html").read_text()
    for text in (result.out, page):
        assert "fine tune, from scratch, equal epochs" in text and "fine tune, from scratch, equal compute" in text
    for row in rows.values():
        assert f"{row['metrics']['top1']:#.4g}" in result.out


def test_what_steps_do_and_warn_of_is_said_once_for_all_targets(project: Project) -> None:
    recipe = '\n[[recipe]]\nstep = "prune"\nbytes = 0.7\n[[recipe]]\nstep = "sparsify"\nsparsity = 0.5\nkeep = ["he*"]\n'
    written(project, recipe)
    result = project.build()
    assert result.code == 0, result.err
    assert result.out.count("  prune ") == 1 and result.out.count("bytes of the tflite-int8 file") == 1
    assert result.err.count("make no dense kernel faster") == 1 and "tflite-int8: sparsify" not in result.err
    kept = report(project, "tflite-int8")["history"]
    assert kept[0]["details"]["measured"]["share"] <= 0.7 and "'keep' names 'he*'" in kept[1]["declined"]["head.weight"]
