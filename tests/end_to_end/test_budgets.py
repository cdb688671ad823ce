"""What a build may cost: a device's budget, a baseline that it may not outgrow, and --strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.projects import SMALL, Project

FLOAT = ("--target", "tflite-fp32")
INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an earlier build of the small network."""
    project = Project(tmp_path_factory.mktemp("before"))
    assert project.build(project.model(SMALL), *FLOAT).code == 0
    return project.folder / "edgekit-out"


def test_a_baseline_that_is_outgrown_ends_with_3_and_still_writes(project: Project, before: Path) -> None:
    baseline = ("--baseline", str(before / "tflite-fp32" / "report.json"))
    larger = project.model(SMALL.replace("Conv2d(1, 4", "Conv2d(1, 8").replace("Linear(4", "Linear(8"))
    result = project.build(larger, *FLOAT, *baseline, "--max-growth", "5%")
    what, where, hint = result.parts()
    assert result.code == 3 and "model_bytes is" in what and "the baseline allows" in what and "tflite-fp32" in where and hint
    assert project.artifact("tflite-fp32").is_file()
    checks = {c["name"]: c for c in project.report("tflite-fp32")["budget"]}
    assert checks["model_bytes"]["passed"] is False and checks["operators"]["passed"] is True
    assert project.report("tflite-fp32")["status"] == "over_budget"
    assert project.build(larger, *FLOAT, *baseline, "--max-growth", "300%").code == 0


def test_the_same_network_passes_against_its_own_summary(project: Project, before: Path) -> None:
    summary = str(before / "summary.json")
    assert project.build(project.model(SMALL), *FLOAT, "--baseline", summary, "--max-growth", "0%").code == 0


def test_a_baseline_without_that_target_is_a_warning(project: Project, before: Path) -> None:
    summary = str(before / "summary.json")
    result = project.build(project.model(SMALL), "--target", "onnx-fp32", "--baseline", summary)
    assert result.code == 0 and "the baseline summary.json has no report for onnx-fp32" in result.err


@pytest.mark.parametrize("content", ["{}", "[1]", "no json"])
def test_a_baseline_that_is_no_report_is_refused(project: Project, content: str) -> None:
    project.write(content, "old.json")
    result = project.build(project.model(SMALL), *FLOAT, "--baseline", "old.json")
    what, where, hint = result.parts()
    assert result.code == 2 and "not a report" in what and where.endswith("old.json") and "summary.json" in hint


def test_a_devices_budget_is_binding(project: Project) -> None:
    reference = project.model(SMALL)
    result = project.build(reference, *FLOAT, "--device", project.device(model_bytes=500))
    what, _, hint = result.parts()
    assert result.code == 3 and "the device allows 500" in what and "report.html" in hint
    assert project.artifact("tflite-fp32").is_file()
    assert project.build(reference, *FLOAT, "--device", project.device(model_bytes=50_000)).code == 0


def test_what_cannot_be_measured_here_counts_only_under_strict(project: Project) -> None:
    reference = project.model(SMALL)
    arguments = (reference, *FLOAT, "--device", project.device(p95_latency_ms=5))
    assert project.build(*arguments).code == 0
    (check,) = project.report("tflite-fp32")["budget"]
    assert check["name"] == "p95_latency_ms" and check["passed"] is None and check["note"]
    strict = project.build(*arguments, "--strict")
    what, _, hint = strict.parts()
    assert strict.code == 3 and "--strict: " in what and "can't be measured here" in what and hint


def test_under_strict_a_warning_is_a_failure(project: Project) -> None:
    reference = project.model("    def forward(self, x):\n        return F.gelu(F.avg_pool2d(x, 2) * 3)")
    arguments = (reference, *INT8, "--io", "float32")
    relaxed = project.build(*arguments)
    assert relaxed.code == 0 and "warning: " in relaxed.err
    strict = project.build(*arguments, "--strict")
    assert strict.code == 3 and " float" in strict.err and "--strict: " in strict.err
