"""Types, layouts and batches of the artifact's inputs and outputs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.metrics import sqnr_db
from edgekit.runtime.litert import LiteRT
from edgekit.runtime.onnx_runtime import OnnxRuntime
from tests.end_to_end.projects import SMALL, Project

TWO = """
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, image, shift):
        features = F.relu(self.conv(image))
        return self.head(features.mean((2, 3))) + shift, features
"""

INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


def outputs_of(project: Project, *x: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    model, _ = sys.modules[project.module].build()
    with torch.no_grad():
        results = model.eval()(*[torch.from_numpy(a) for a in x])
    return [r.numpy() for r in (results if isinstance(results, tuple) else (results,))]


def images(count: int = 8) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).random((count, 1, 8, 8), np.float32)


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_an_integer_file_has_the_type_that_was_asked_for(project: Project, io: str) -> None:
    assert project.build(project.model(SMALL), *INT8, "--io", io).code == 0
    runtime = LiteRT(project.artifact("tflite-int8").read_bytes())
    assert {t.dtype for t in (*runtime.inputs, *runtime.outputs)} == {io}
    x = images()
    assert sqnr_db(outputs_of(project, x)[0], ek.run(project.artifact("tflite-int8"), x)) >= 28.0


def test_every_input_and_output_may_have_its_own_type(project: Project) -> None:
    reference = project.model(TWO, "torch.zeros(1, 1, 8, 8), torch.zeros(1, 10)")
    generator = np.random.default_rng(0)
    image, shift = generator.random((24, 1, 8, 8), np.float32), generator.standard_normal((24, 10)).astype(np.float32)
    project.npz("calibration.npz", image=image, shift=shift)
    project.write(
        f"""
        model = "{reference}"
        targets = ["tflite-int8"]
        calibration = "calibration.npz"
        [input.image]
        io = "uint8"
        [input.shift]
        io = "float32"
        [output.relu]
        io = "float32"
        io_layout = "source"
        """,
        "edgekit.toml",
    )
    result = project.build()
    assert result.code == 0, result.err
    runtime = LiteRT(project.artifact("tflite-int8").read_bytes())
    assert [t.dtype for t in runtime.inputs] == ["uint8", "float32"]
    assert [t.dtype for t in runtime.outputs] == ["int8", "float32"]
    assert runtime.outputs[1].shape == (1, 4, 8, 8)
    got = ek.run(project.artifact("tflite-int8"), {"image": image, "shift": shift})
    for wanted, have in zip(outputs_of(project, image, shift), got, strict=True):
        assert sqnr_db(wanted, have) >= 28.0


def test_a_final_sigmoid_keeps_the_settings_of_its_output(project: Project) -> None:
    body = """
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return {"mask": torch.sigmoid(self.conv(x))}"""
    project.write(
        f"""
        model = "{project.model(body)}"
        targets = ["tflite-int8", "tflite-fp32", "onnx-int8"]
        calibration = "calibration.npz"
        labels = "labels.txt"
        [output.sigmoid]
        io = "uint8"
        io_layout = "source"
        """,
        "edgekit.toml",
    )
    project.write("background\nhand\n", "labels.txt")  # of pixels: no row of scores that their number could be held against
    result = project.build()
    assert result.code == 0 and "labels" not in result.err, result.err
    (output,) = LiteRT(project.artifact("tflite-int8").read_bytes()).outputs
    assert (output.shape, output.dtype) == ((1, 2, 8, 8), "uint8")


def test_settings_of_an_output_that_is_not_there_are_refused(project: Project) -> None:
    project.write(f'model = "{project.model(SMALL)}"\ntargets = ["tflite-fp32"]\n[output.scors]\nio = "int8"\n', "edgekit.toml")
    result = project.build()
    what, where, hint = result.parts()
    assert result.code == 2 and "no output 'scors'" in what and "[output.scors]" in where and hint


@pytest.mark.parametrize(("target", "reason"), [("tflite-fp32", "computes in float"), ("onnx-int8", "onnx files keep float")])
def test_a_type_that_a_target_does_not_have_is_a_warning(project: Project, target: str, reason: str) -> None:
    result = project.build(project.model(SMALL), "--calibration", "calibration.npz", "--target", target, "--io", "uint8")
    assert result.code == 0 and "not uint8 as asked" in result.err and reason in result.err
    strict = project.build(
        project.model(SMALL), "--calibration", "calibration.npz", "--target", target, "--io", "uint8", "--strict", "--force"
    )
    assert strict.code != 0


def test_images_are_channels_last_in_tflite_and_as_in_the_source_in_onnx(project: Project) -> None:
    result = project.build(project.model(SMALL), *INT8, "--target", "tflite-fp32", "--target", "onnx-fp32")
    assert result.code == 0, result.err
    for target in ("tflite-int8", "tflite-fp32"):
        assert LiteRT(project.artifact(target).read_bytes()).inputs[0].shape == (1, 8, 8, 1)
    assert OnnxRuntime(project.artifact("onnx-fp32").read_bytes()).inputs[0].shape[1:] == (1, 8, 8)


@pytest.mark.parametrize(("layout", "shape"), [("source", (1, 1, 8, 8)), ("channels_last", (1, 8, 8, 1))])
def test_the_layout_may_be_chosen(project: Project, layout: str, shape: tuple[int, ...]) -> None:
    assert project.build(project.model(SMALL), "--target", "tflite-fp32", "--io-layout", layout).code == 0
    assert LiteRT(project.artifact("tflite-fp32").read_bytes()).inputs[0].shape == shape
    x = images()
    np.testing.assert_allclose(ek.run(project.artifact("tflite-fp32"), x), outputs_of(project, x)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_tflite_files_have_the_batch_that_was_asked_for_and_run_with_any(project: Project, batch: int) -> None:
    assert project.build(project.model(SMALL), *INT8, "--batch", str(batch)).code == 0
    assert LiteRT(project.artifact("tflite-int8").read_bytes()).inputs[0].shape == (batch, 8, 8, 1)
    for count in (1, 3, 8):
        x = images(count)
        assert ek.run(project.artifact("tflite-int8"), x).shape == (count, 10)


def test_onnx_files_take_any_batch_at_once(project: Project) -> None:
    assert project.build(project.model(SMALL), "--target", "onnx-fp32").code == 0
    runtime = OnnxRuntime(project.artifact("onnx-fp32").read_bytes())
    assert runtime.invoke([images(7)])[0].shape == (7, 10)


def test_a_fixed_batch_of_the_source_stays(project: Project) -> None:
    reference = project.model(
        "    def forward(self, x):\n        return x.reshape(2, 64) * torch.arange(2.0).reshape(2, 1)",
        "torch.zeros(2, 1, 8, 8)",
    )
    result = project.build(reference, "--target", "tflite-fp32", "--target", "onnx-fp32")
    assert result.code == 0, result.err
    x = images(2)
    for target in ("tflite-fp32", "onnx-fp32"):
        got = ek.run(project.artifact(target), x)
        np.testing.assert_allclose(got, outputs_of(project, x)[0], atol=1e-6)


def test_integer_inputs_and_outputs_pass_through(project: Project) -> None:
    reference = project.model(
        """
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, ids):
        scores = self.head(self.embed(ids).mean(1))
        return scores, scores.argmax(1)
""",
        "torch.zeros(1, 6, dtype=torch.long)",
    )
    ids = np.random.default_rng(0).integers(0, 20, (32, 6))
    project.npz("ids.npz", ids=ids)
    targets = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")
    result = project.build(reference, "--calibration", "ids.npz", *[a for t in targets for a in ("--target", t)])
    assert result.code == 0, result.err
    wanted, best = outputs_of(project, ids)
    for target in targets:
        scores, classes = ek.run(project.artifact(target), ids)
        assert sqnr_db(wanted, scores) >= (100.0 if "fp32" in target else 28.0)
        assert classes.dtype.kind == "i" and (classes == best).mean() >= 0.9
