"""What the options of a build do: dumps, names, labels, shapes, the configuration, and what is printed."""

from __future__ import annotations

import contextlib
import html
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.cli import main
from edgekit.errors import EXIT_CODE_ORDER
from edgekit.report.files import SCHEMA_PATH
from tests.end_to_end.projects import SMALL, Project

FLOAT = ("--target", "tflite-fp32")
INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


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


def test_a_report_names_no_folder_of_this_machine(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *INT8).code == 0
    project.write(f'model = "{reference}"\ntargets = ["tflite-int8"]\ncalibration = "calibration.npz"\n', "edgekit.toml")
    below = project.folder / "app"
    below.mkdir()
    with contextlib.chdir(below):
        assert main(["build", "--output", "here"]) == 0
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
