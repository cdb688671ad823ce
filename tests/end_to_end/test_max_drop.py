"""What a metric may lose from source to artifact: beyond it nothing is written, and a large loss is never passed over."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.end_to_end.projects import SMALL, Project

PRUNE = '[[recipe]]\nstep = "prune"\nparameters = 0.5\ncriterion = "random"\n'


@pytest.fixture
def configured(project: Project) -> Project:
    """A network whose own answers are the labels, so that it scores 100 %, and a recipe that takes half of its weights."""
    model = project.model(SMALL)
    x = np.random.default_rng(0).normal(size=(200, 1, 8, 8)).astype(np.float32)
    net, _ = runpy.run_path(str(project.folder / f"{project.module}.py"))["build"]()
    y = net.eval()(torch.from_numpy(x)).argmax(1).numpy()
    project.npz("test.npz", x=x, y=y)
    (project.folder / "edgekit.toml").write_text(
        f'model = "{model}"\ntargets = ["tflite-fp32"]\nevaluate = "test.npz"\n{PRUNE}', encoding="utf-8"
    )
    return project


def test_a_loss_beyond_the_limit_is_refused_and_says_which_step_lost_it(configured: Project) -> None:
    result = configured.build("--max-drop", "0.5")
    what, where, hint = result.parts()
    assert result.code == 5 and what.startswith("top1 fell from 1.0000 to 0.") and "'max_drop' allows 0.5" in what
    assert "points by step: prune -" in where and "tflite-fp32 +0.00" in where and "max_drop" in hint
    assert not any(name.endswith(".tflite") for name in configured.written())
    report = configured.report("tflite-fp32")
    assert report["status"] == "below_floor" and report["evaluation"][0]["allowed_drop"] == 0.5
    assert report["evaluation"][1]["allowed_drop"] is None


def test_a_loss_within_the_limit_is_kept(configured: Project) -> None:
    toml = configured.folder / "edgekit.toml"
    toml.write_text("max_drop = 100\n" + toml.read_text())
    result = configured.build()
    assert result.code == 0 and configured.artifact("tflite-fp32").is_file()
    assert configured.report("tflite-fp32")["warnings"] == []


def test_without_a_limit_a_large_loss_is_a_warning(configured: Project) -> None:
    assert configured.build().code == 0
    warnings = configured.report("tflite-fp32")["warnings"]
    assert any(line.startswith("top1 fell from 1.0000 to 0.") for line in warnings)
    assert configured.build("--strict").code == 3


def test_several_targets_show_what_the_source_scored(configured: Project) -> None:
    result = configured.build("--target", "tflite-fp32", "--target", "onnx-fp32")
    assert result.code == 0 and "source: top1 1.000" in result.out


@pytest.mark.parametrize("value", ["-1", "nan"])
def test_a_limit_that_is_no_share_is_refused(configured: Project, value: str) -> None:
    result = configured.build("--max-drop", value)
    assert result.code == 2 and "'max_drop' is in percentage points" in result.parts()[0]


def test_a_limit_needs_data(project: Project) -> None:
    result = project.build(project.model(SMALL), "--target", "tflite-fp32", "--max-drop", "1")
    what, where, hint = result.parts()
    assert result.code == 2 and "no data to measure one on" in what and where == "--max-drop" and "--evaluate" in hint


def test_labels_that_are_numbers_have_no_points(project: Project, tmp_path: Path) -> None:
    data = project.npz("test.npz", x=np.zeros((4, 1, 8, 8), np.float32), y=np.zeros((4, 10), np.float32))
    result = project.build(project.model(SMALL), "--target", "tflite-fp32", "--evaluate", data, "--max-drop", "1")
    what, _, hint = result.parts()
    assert result.code == 2 and "these labels are numbers" in what and "callable" in hint


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('return {"mae": 3.5}', "'mae' is 3.5 for the source"),
        ('seen.append(1)\n    return {"f1": 0.9} if len(seen) < 3 else {"other": 0.9}', "not on the artifact"),
    ],
)
def test_a_limit_that_could_never_be_exceeded_is_refused(project: Project, body: str, message: str) -> None:
    model = project.model(SMALL)
    project.write(f"seen = []\n\n\ndef metric(predict):\n    {body}\n", f"{project.module}_score.py")
    result = project.build(model, "--target", "tflite-fp32", "--evaluate", f"{project.module}_score:metric", "--max-drop", "1")
    what, where, hint = result.parts()
    assert result.code == 2 and message in what and where == "--evaluate" and "metric" in hint
