"""What the options of a build do: no-ops, budgets, baselines, dumps, evaluation, JSON."""

from __future__ import annotations

import contextlib
import html
import json
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.cli import main
from edgekit.errors import EXIT_CODE_ORDER
from edgekit.report.files import SCHEMA_PATH
from tests import trained
from tests.end_to_end.projects import SMALL, Project

FLOAT = ("--target", "tflite-fp32")
INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


def device(project: Project, **budget: float) -> str:
    """A device file with this budget."""
    lines = "\n".join(f"{key} = {value}" for key, value in budget.items())
    project.write(
        f'description = "d"\n[hardware]\nsoc = "s"\nabi = "arm64-v8a"\n[runtime]\nname = "litert"\n[budget]\n{lines}\n',
        "watch.toml",
    )
    return "watch.toml"


def test_a_second_build_is_a_no_op_until_something_changes(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *INT8).code == 0
    before = project.artifact("tflite-int8").stat().st_mtime_ns
    again = project.build(reference, *INT8)
    assert again.code == 0 and again.out.startswith("up to date: ")
    assert project.artifact("tflite-int8").stat().st_mtime_ns == before
    project.npz("calibration.npz", x=np.random.default_rng(1).random((24, 1, 8, 8), np.float32) * 3)
    changed = project.build(reference, *INT8)
    assert changed.code == 0 and "up to date" not in changed.out
    assert project.artifact("tflite-int8").stat().st_mtime_ns != before


@pytest.mark.parametrize(
    "change", [("--io", "float32"), ("--batch", "2"), ("--target", "tflite-fp32"), ("--name", "other")], ids=lambda c: c[0]
)
def test_other_options_are_another_build(project: Project, change: tuple[str, str]) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *INT8).code == 0
    assert "up to date" not in project.build(reference, *INT8, *change).out


def test_the_users_source_is_an_input_of_the_build(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.process("build", reference, *FLOAT).code == 0
    assert "up to date" in project.process("build", reference, *FLOAT).out
    path = project.folder / f"{project.module}.py"
    path.write_text(path.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    before = project.artifact("tflite-fp32").read_bytes()
    assert "up to date" not in project.process("build", reference, *FLOAT).out
    assert project.artifact("tflite-fp32").read_bytes() != before


def test_force_builds_again_and_gives_the_same_bytes(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *INT8).code == 0
    before = project.artifact("tflite-int8").read_bytes()
    forced = project.build(reference, *INT8, "--force")
    assert forced.code == 0 and "up to date" not in forced.out
    assert project.artifact("tflite-int8").read_bytes() == before


def test_a_failed_build_is_never_up_to_date(project: Project) -> None:
    reference = project.model(SMALL)
    arguments = (reference, *FLOAT, "--device", device(project, model_bytes=100))
    assert project.build(*arguments).code == 3
    assert project.build(*arguments).code == 3


def test_the_graph_after_every_stage_can_be_dumped(project: Project) -> None:
    assert project.build(project.model(SMALL), *INT8, "--dump", "stages").code == 0
    names = sorted(p.name for p in (project.folder / "stages").iterdir())
    assert names == [
        *("0-source.ekg", "0-source.txt"),
        *("tflite-int8-1-float.ekg", "tflite-int8-1-float.txt"),
        *("tflite-int8-2-lowered.ekg", "tflite-int8-2-lowered.txt"),
    ]
    lowered = ek.load(project.folder / "stages" / "tflite-int8-2-lowered.ekg")
    assert all(v.quant is not None for v in (*lowered.inputs, *lowered.outputs))
    assert (project.folder / "stages" / "tflite-int8-2-lowered.txt").read_text() == lowered.text()


def test_a_dumped_graph_is_a_source_itself(project: Project) -> None:
    assert project.build(project.model(SMALL), *FLOAT, "--dump", "stages").code == 0
    result = project.build("stages/0-source.ekg", *FLOAT, "--output", "again", "--name", "build")
    assert result.code == 0, result.err
    x = np.random.default_rng(0).random((4, 1, 8, 8), np.float32)
    first, second = (ek.run(project.artifact("tflite-fp32", output), x) for output in ("edgekit-out", "again"))
    np.testing.assert_array_equal(first, second)


def test_the_depfile_names_outputs_and_everything_that_was_read(project: Project) -> None:
    reference = project.model(SMALL)
    result = project.process("build", reference, *INT8, "--depfile", "net.d")
    assert result.code == 0, result.err
    text = (project.folder / "net.d").read_text()
    outputs, _, inputs = text.partition(":")
    assert outputs == str(project.artifact("tflite-int8"))  # alone: Ninja refuses outputs that the build file does not name
    assert f"{project.module}.py" in inputs and "calibration.npz" in inputs
    assert "site-packages" not in inputs


def test_a_baseline_that_is_outgrown_ends_with_3_and_still_writes(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *FLOAT, "--output", "before").code == 0
    baseline = ("--baseline", "before/tflite-fp32/report.json")
    larger = project.model(SMALL.replace("Conv2d(1, 4", "Conv2d(1, 8").replace("Linear(4", "Linear(8"))
    del sys.modules[project.module]
    result = project.build(larger, *FLOAT, *baseline, "--max-growth", "5%")
    what, where, hint = result.parts()
    assert result.code == 3 and "model_bytes is" in what and "the baseline allows" in what and "tflite-fp32" in where and hint
    assert project.artifact("tflite-fp32").is_file()
    checks = {c["name"]: c for c in project.report("tflite-fp32")["budget"]}
    assert checks["model_bytes"]["passed"] is False and checks["operators"]["passed"] is True
    assert project.report("tflite-fp32")["status"] == "over_budget"
    assert project.build(larger, *FLOAT, *baseline, "--max-growth", "300%").code == 0


def test_the_same_network_passes_against_its_own_summary(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *FLOAT, "--output", "before").code == 0
    assert project.build(reference, *FLOAT, "--baseline", "before/summary.json", "--max-growth", "0%").code == 0


def test_a_baseline_without_that_target_is_a_warning(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *FLOAT, "--output", "before").code == 0
    result = project.build(reference, "--target", "onnx-fp32", "--baseline", "before/summary.json")
    assert result.code == 0 and "the baseline summary.json has no report for onnx-fp32" in result.err


@pytest.mark.parametrize("content", ["{}", "[1]", "no json"])
def test_a_baseline_that_is_no_report_is_refused(project: Project, content: str) -> None:
    project.write(content, "old.json")
    result = project.build(project.model(SMALL), *FLOAT, "--baseline", "old.json")
    what, where, hint = result.parts()
    assert result.code == 2 and "not a report" in what and where.endswith("old.json") and "summary.json" in hint


def test_a_devices_budget_is_binding(project: Project) -> None:
    reference = project.model(SMALL)
    result = project.build(reference, *FLOAT, "--device", device(project, model_bytes=500))
    what, _, hint = result.parts()
    assert result.code == 3 and "the device allows 500" in what and "report.html" in hint
    assert project.artifact("tflite-fp32").is_file()
    assert project.build(reference, *FLOAT, "--device", device(project, model_bytes=50_000)).code == 0


def test_what_cannot_be_measured_here_counts_only_under_strict(project: Project) -> None:
    reference = project.model(SMALL)
    arguments = (reference, *FLOAT, "--device", device(project, p95_latency_ms=5))
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


def test_the_table_says_where_the_artifacts_are(project: Project) -> None:
    reference = project.model(SMALL)
    assert "  edgekit-out/tflite-fp32/build.tflite  " in project.build(reference, *FLOAT).out
    several = project.build(reference, *FLOAT, "--target", "onnx-fp32", "--output", str(project.folder / "a" / "b"))
    assert several.out.endswith("artifacts and reports: a/b\n")


def test_json_is_one_document_and_nothing_else_on_stdout(project: Project) -> None:
    reference = project.model(SMALL)
    result = project.build(reference, *FLOAT, "--target", "onnx-fp32", "--json")
    document = json.loads(result.out)
    assert document["schema"] == "edgekit.summary/1" and document["exit_code"] == 0
    assert [r["target"] for r in document["reports"]] == ["tflite-fp32", "onnx-fp32"]
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    for report in document["reports"]:
        schema.validate(report)
    again = project.build(reference, *FLOAT, "--target", "onnx-fp32", "--json")
    assert [r["target"] for r in json.loads(again.out)["reports"]] == ["tflite-fp32", "onnx-fp32"]


def test_json_holds_the_errors_too(project: Project) -> None:
    result = project.build(project.model(SMALL), "--target", "tflite-int8", *FLOAT, "--json")
    document = json.loads(result.out)
    assert result.code == document["exit_code"] == 2 and EXIT_CODE_ORDER.index(2) >= 0
    (error,) = document["errors"]
    assert error["target"] == "tflite-int8" and error["what"] and error["where"] and error["try"] and error["exit_code"] == 2


def test_the_users_metric_is_measured_on_source_graph_and_artifact(project: Project) -> None:
    project.write(
        "import torch\nfrom tests import trained\n\n\ndef build():\n    return trained.Cnn(), (torch.zeros(1, 1, 8, 8),)\n"
    )
    x, _, x_test, y_test = trained.digits()
    project.npz("calibration.npz", x=x[:64])
    project.npz("test.npz", x=x_test, y=y_test)
    weights = project.weights(trained.cnn())
    arguments = (f"{project.module}:build", "--weights", weights, *INT8, "--evaluate", "test.npz")
    result = project.build(*arguments)
    assert result.code == 0, result.err
    rows = {r["metric"]: r for r in project.report("tflite-int8")["evaluation"]}
    assert set(rows) == {"top1", "macro_f1"}
    with_source = float((trained.cnn()(torch.from_numpy(x_test)).argmax(1).numpy() == y_test).mean())
    assert rows["top1"]["source"] == pytest.approx(with_source)
    got = ek.run(project.artifact("tflite-int8"), x_test)
    assert rows["top1"]["artifact"] == pytest.approx(float((got.argmax(1) == y_test).mean()))
    assert abs(rows["top1"]["graph"] - rows["top1"]["artifact"]) < 0.01


def test_a_metric_of_ones_own_is_a_callable(project: Project) -> None:
    reference = project.model(SMALL)
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write(
            "\n\ndef score(predict):\n    y = predict(torch.ones(6, 1, 8, 8).numpy())\n    return {'largest': float(y.max())}\n"
        )
    assert project.build(reference, *FLOAT, "--evaluate", f"{project.module}:score").code == 0
    (row,) = project.report("tflite-fp32")["evaluation"]
    assert row["metric"] == "largest" and row["source"] == pytest.approx(row["artifact"], abs=1e-4)


def test_a_metric_predicts_as_the_artifact_runs_with_a_tuple_or_a_dict(project: Project) -> None:
    reference = project.model(
        """    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(3, 4)

    def forward(self, left, right):
        y = self.a(left) + self.b(right)
        return {"y": y, "both": (y, y * 2)}""",
        "torch.randn(1, 6), torch.randn(1, 3)",
    )
    with (project.folder / f"{project.module}.py").open("a") as file:
        file.write(
            "\n\ndef score(predict):\n    import numpy as np\n"
            "    left, right = np.ones((5, 6), np.float32), np.ones((5, 3), np.float32)\n"
            "    one, two = predict((left, right)), predict({'right': right, 'left': left})\n"
            "    return {'same': float((one['y'] == two['y']).all()), 'twice': float((one['both'][1] / one['y']).mean())}\n"
            "\n\ndef wrong(predict):\n    return {'y': predict({'left': 1, 'rihgt': 2})}\n"
        )
    assert project.build(reference, *FLOAT, "--evaluate", f"{project.module}:score").code == 0
    rows = {row["metric"]: row for row in project.report("tflite-fp32")["evaluation"]}
    assert [rows["same"][form] for form in ("source", "graph", "artifact")] == [1, 1, 1]
    assert rows["twice"]["artifact"] == pytest.approx(2, abs=1e-5)
    what, _, hint = project.build(reference, *FLOAT, "--evaluate", f"{project.module}:wrong").parts()
    assert what == "predict was given the inputs left, rihgt" and hint == "they are left, right"


def test_evaluation_batches_that_come_only_once_serve_every_target_and_form(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 3))
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = module(torch.from_numpy(x)).argmax(1).numpy()
    batches = ((x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10))
    built = ek.build(
        module, ["tflite-fp32", "onnx-fp32"], example_inputs=torch.zeros(1, 4), evaluate=batches, output=tmp_path / "out"
    )
    for one in built:
        assert [(row.source, row.artifact) for row in one.report.evaluation if row.metric == "top1"] == [(1.0, 1.0)]
        assert one.report.verification[0].samples == 40  # compared on the same inputs: there are no others


def test_the_report_says_which_layers_cause_the_error(project: Project) -> None:
    assert project.build(project.model(SMALL), *INT8).code == 0
    layers = project.report("tflite-int8")["layers"]
    assert all(20 < layer["alone_sqnr_db"] <= 200 for layer in layers if layer["weight_bytes"])
    page = html.unescape((project.artifact("tflite-int8").parent / "report.html").read_text())
    assert "Share of the output's error that each layer causes when it alone is quantised" in page


def test_labels_go_into_the_report(project: Project) -> None:
    project.write("\n".join(f"class {i}" for i in range(10)), "labels.txt")
    assert project.build(project.model(SMALL), *FLOAT, "--labels", "labels.txt").code == 0
    assert project.report("tflite-fp32")["io"]["labels"][3] == "class 3"


def test_labels_that_do_not_fit_the_classes_are_a_warning_and_unreadable_ones_an_error(project: Project) -> None:
    project.write("left\nright\n", "labels.txt")
    result = project.build(project.model(SMALL), *FLOAT, "--labels", "labels.txt")
    assert result.code == 0 and "there are 2 labels, and the output 'head' has 10 classes" in result.err
    (project.folder / "labels.txt").write_bytes(b"\xff\xfe")
    result = project.build(project.model(SMALL), *FLOAT, "--labels", "labels.txt")
    assert result.code == 2 and result.parts()[0] == "cannot read the labels: it is not UTF-8"


def test_an_artifact_is_called_as_it_was_asked_for_or_as_the_model(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *FLOAT).code == 0 and project.artifact("tflite-fp32").name == "build.tflite"
    assert project.build(reference, *FLOAT, "--name", "digits").code == 0
    assert project.artifact("tflite-fp32").name == "digits.tflite"


def test_a_program_file_is_a_source(project: Project) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(2, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, project.folder / "net.pt2")
    result = project.build("net.pt2", *INT8, "--target", "tflite-fp32")
    assert result.code == 0, result.err
    x = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ek.run(project.artifact("tflite-fp32"), x), wanted, atol=1e-5)
    assert project.artifact("tflite-fp32").name == "net.tflite"


def test_everything_can_stand_in_the_configuration(project: Project) -> None:
    reference = project.model(SMALL)
    project.write(
        f"""
        model = "{reference}"
        targets = ["tflite-int8", "onnx-fp32"]
        calibration = "calibration.npz"
        output = "artifacts"
        name = "net"
        [quantization]
        observer = "min_max"
        bias_correction = false
        """,
        "edgekit.toml",
    )
    (project.folder / "inner").mkdir()
    with contextlib.chdir(project.folder / "inner"):
        assert main(["build"]) == 0
    assert project.artifact("onnx-fp32", "artifacts").name == "net.onnx"
    assert project.report("tflite-int8", "artifacts")["config"]["quantization"]["observer"] == "min_max"


def test_builds_into_one_folder_wait_for_each_other(project: Project) -> None:
    reference = project.model(SMALL)
    command = [sys.executable, "-m", "edgekit", "build", reference]
    started = time.monotonic()
    running = [
        subprocess.Popen([*command, "--target", t], cwd=project.folder, env=project.environment, stderr=subprocess.PIPE)
        for t in ("tflite-fp32", "onnx-fp32")
    ]
    codes = [process.wait(timeout=240) for process in running]
    assert codes == [0, 0] and time.monotonic() - started < 240
    assert project.artifact("tflite-fp32").is_file() and project.artifact("onnx-fp32").is_file()
    for process in running:
        assert process.stderr is not None
        process.stderr.close()


def test_a_report_names_no_folder_of_this_machine(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *INT8).code == 0
    project.write(f'model = "{reference}"\ntargets = ["tflite-int8"]\ncalibration = "calibration.npz"\n', "edgekit.toml")
    below = project.folder / "app"
    below.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "build", "--output", "here"],
        cwd=below, env=project.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for output in (project.folder / "edgekit-out", below / "here"):
        for name in ("report.json", "report.html"):
            text = (output / "tflite-int8" / name).read_text()
            assert str(project.folder) not in text and str(Path(__file__).parents[2]) not in text
            assert f"{project.module}.py:" in text


TWO = """    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(3, 4)

    def forward(self, left, right):
        return self.a(left) + self.b(right)"""


def test_shapes_of_several_inputs_may_stand_without_their_names(project: Project) -> None:
    project.model(TWO)
    reference = f"{project.module}:Net"
    shapes = ("--input-shape", "1,6", "--input-shape", "1,3")
    assert project.build(reference, *shapes, *FLOAT).code == 0
    inputs = project.report("tflite-fp32")["io"]["inputs"]
    assert [(tensor["name"], tensor["shape"]) for tensor in inputs] == [("left", [1, 6]), ("right", [1, 3])]
    assert project.build(reference, "--input-shape", "right=1,3", "--input-shape", "1,6", *FLOAT).code == 0
    assert project.build(f"{project.module}:build", "--input-shape", "1,6", *FLOAT).code == 2


def test_a_wrong_target_in_the_configuration_is_found_there(project: Project) -> None:
    reference = project.model(SMALL)
    config = project.write(f'model = "{reference}"\ntargets = ["tflite-int9"]\n', "edgekit.toml")
    what, where, hint = project.build().parts()
    assert what == "unknown target 'tflite-int9'" and str(config) in where and "did you mean 'tflite-int8'" in hint


def test_the_door_refuses_options_that_it_does_not_have(project: Project) -> None:
    with pytest.raises(ek.UsageError, match="no option 'calibraton'") as caught:
        ek.build(torch.nn.Linear(2, 2), example_inputs=torch.zeros(1, 2), calibraton=np.zeros((4, 2)))
    assert "did you mean 'calibration'?" in str(caught.value.hint)


def test_a_build_is_short_to_look_at(tmp_path: Path) -> None:
    built = ek.build(torch.nn.Linear(2, 2), "tflite-fp32", example_inputs=torch.zeros(1, 2), output=tmp_path)
    assert len(repr(built)) < 300 and "<svg" not in repr(built.report)
