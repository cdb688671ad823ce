"""``exits = "staged"``: one file a stage beside the artifact, run and compared with it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.bench.micro import arena, available
from edgekit.errors import ConfigError
from edgekit.export.staged.loop import Stages
from edgekit.report.files import SCHEMA_PATH
from edgekit.runtime.artifact import Artifact
from tests.export.staged.hosts import NAME, build, facts, record


@pytest.mark.parametrize("target", ["tflite-int8", "onnx-int8"])
def test_stages_answer_as_the_one_file_and_the_report_tells_of_them(target: str, tmp_path: Path) -> None:
    import json

    manifest, report = build(tmp_path, "margin", target)
    assert report.warnings == ()  # none of 200 samples comes out otherwise
    assert sum(stage.answered for stage in report.stages) == 200 and all(stage.answered for stage in report.stages)
    for stage in report.stages:
        assert (manifest.parent / stage.path).stat().st_size == stage.bytes
    jsonschema.validate(json.loads((manifest.parent / "report.json").read_text()), json.loads(SCHEMA_PATH.read_text()))
    page = (manifest.parent / "report.html").read_text()
    assert all(stage.path in page for stage in report.stages)


def test_seams_are_integers_of_one_scale_and_stages_are_small(tmp_path: Path) -> None:
    manifest, report = build(tmp_path, "margin")
    content = facts(manifest)
    assert content["schema"] == "edgekit.stages/1" and content["score"] == "margin"
    first, second, last = content["stages"]
    assert second["inputs"] == [row for row in first["outputs"] if row["name"] != first["logits"]]
    assert second["inputs"][0]["dtype"] == "int8" and second["inputs"][0]["scale"] > 0
    assert last["threshold"] is None and first["threshold"] > 0
    whole = (manifest.parent / f"{NAME}.tflite").stat().st_size
    assert sum(stage.bytes for stage in report.stages) < 1.25 * whole  # weights are stored once


def test_a_host_may_stop_between_stages_and_go_on(tmp_path: Path) -> None:
    manifest, _ = build(tmp_path, "margin")
    sample = next(s for s in record(manifest, 12) if s.answer.stage == 2)
    name = facts(manifest)["stages"][0]["inputs"][0]["name"]
    tensors, outputs = {name: sample.tensors[name]}, dict[str, np.ndarray]()
    assert not Stages(manifest).step(0, tensors, outputs)
    early = outputs["answer"]
    later = Stages(manifest)  # another process, with what was kept
    assert not later.step(1, tensors, outputs) and later.step(2, tensors, outputs)
    assert np.array_equal(outputs["answer"], sample.answer.outputs["answer"]) and not np.array_equal(outputs["answer"], early)
    assert np.array_equal(Artifact(manifest.parent / f"{NAME}.tflite").invoke([tensors[name]])[0], outputs["answer"])


def test_arrays_that_a_stage_does_not_take_are_refused(tmp_path: Path) -> None:
    manifest, _ = build(tmp_path, "margin")
    row = facts(manifest)["stages"][0]["inputs"][0]
    sample = np.zeros(row["shape"], row["dtype"])
    for given, said in (
        ({"other": sample}, f"takes '{row['name']}' as .*, and there is 'other'"),
        ({row["name"]: sample.astype(np.float64)}, r"and was given float64\["),
        ({row["name"]: sample[0]}, "and was given"),
    ):
        with pytest.raises(ValueError, match=said):
            Stages(manifest).run(given)


@pytest.mark.skipif(not available(), reason="tflite-micro is not installed")
def test_each_stage_for_a_micro_controller_has_its_sources_and_its_arena(tmp_path: Path) -> None:
    manifest, report = build(tmp_path, "margin", "tflm-int8")
    folder = manifest.parent
    assert [stage.arena_bytes for stage in report.stages] == [arena(folder / stage.path).total for stage in report.stages]
    for stage in report.stages:
        name = Path(stage.path).stem.replace("-", "_").replace(".", "_")
        assert f"kModelBytes = {stage.bytes};" in (folder / f"{name}.h").read_text()
        assert f"namespace {name} {{" in (folder / f"{name}.cc").read_text()
    assert "arena bytes" in (folder / "report.html").read_text()


def test_staged_files_of_a_network_without_exits_are_refused(tmp_path: Path) -> None:
    graph = ek.load(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), example_inputs=(torch.zeros(1, 4),))
    with pytest.raises(ek.EdgekitError, match="staged files are for networks whose early exits"):
        ek.build(graph, "tflite-fp32", exits="staged", output=tmp_path)


def test_another_word_for_exits_is_refused(tmp_path: Path) -> None:
    graph = ek.load(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), example_inputs=(torch.zeros(1, 4),))
    with pytest.raises(ConfigError, match="'exits' must be one of 'one_file', 'staged'"):
        ek.build(graph, "tflite-fp32", exits="stages", output=tmp_path)
