"""A camera's bytes feed the artifact: preprocessing that is declared becomes part of it, without an op where that is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.formats.io_metadata import IO_KEY
from edgekit.formats.tflite.read import read
from edgekit.metrics import sqnr_db
from edgekit.runtime.litert import LiteRT
from tests.end_to_end.projects import Project

RGB = """
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(F.relu(self.conv(x)).mean((2, 3)))
"""

IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def images(count: int = 48, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def camera(project: Project) -> tuple[Project, str]:
    """A project with a network for colour images and calibration data in bytes."""
    project.npz("calibration.npz", x=images())
    return project, project.model(RGB, "torch.zeros(1, 3, 8, 8)")


def source_outputs(
    project: Project, raw: np.ndarray[Any, Any], mean: Any, std: Any, scale: float = 255.0
) -> np.ndarray[Any, Any]:
    """What the network gives for raw values, preprocessed here in numpy."""
    import sys

    model, _ = sys.modules[project.module].build()
    shape = (1, -1, 1, 1)
    x = (raw.astype(np.float64) / scale - np.reshape(mean, shape)) / np.reshape(std, shape)
    with torch.no_grad():
        return model.eval()(torch.from_numpy(x.astype(np.float32))).numpy()  # type: ignore[no-any-return]


def int8_file(project: Project, target: str = "tflite-int8") -> LiteRT:
    return LiteRT(project.artifact(target).read_bytes())


def ops_of(project: Project, target: str) -> dict[str, int]:
    return project.report(target)["artifact"]["operators"]  # type: ignore[no-any-return]


ARGUMENTS = ("--calibration", "calibration.npz")


def test_one_mean_and_deviation_for_all_is_folded_into_the_inputs_quantisation(camera: tuple[Project, str]) -> None:
    project, reference = camera
    assert project.build(reference, *ARGUMENTS, "--mean", "0", "--std", "1", "--target", "tflite-int8").code == 0
    (file,) = int8_file(project).inputs
    assert file.dtype == "int8" and file.zero_point == -128 and file.scale == pytest.approx(1 / 255)
    assert ops_of(project, "tflite-int8") == {"CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    raw = images(seed=1)
    wanted = source_outputs(project, raw, 0.0, 1.0)
    assert sqnr_db(wanted, ek.run(project.artifact("tflite-int8"), raw)) >= 28.0


def test_the_cameras_bytes_are_the_integers(camera: tuple[Project, str]) -> None:
    """Fed by hand, byte by byte, in the camera's own order of axes."""
    project, reference = camera
    arguments = ("--mean", "0.5", "--std", "0.5", "--scale", "254", "--io", "uint8", "--target", "tflite-int8")
    assert project.build(reference, *ARGUMENTS, *arguments).code == 0
    runtime = int8_file(project)
    (file,), (out,) = runtime.inputs, runtime.outputs
    assert file.dtype == "uint8" and file.shape == (1, 8, 8, 3) and file.zero_point == 127
    assert file.scale == pytest.approx(1 / 127) and out.dtype == "uint8"
    raw = images(6, seed=2)
    got = []
    for image in raw:
        (scores,) = runtime.invoke([image.transpose(1, 2, 0)[None]])
        assert out.scale is not None
        got.append((scores.astype(np.float32) - out.zero_point) * out.scale)
    wanted = source_outputs(project, raw, 0.5, 0.5, 254.0)
    assert sqnr_db(wanted, np.concatenate(got)) >= 28.0


def test_numbers_per_channel_are_one_op_that_the_artifact_begins_with(camera: tuple[Project, str]) -> None:
    project, reference = camera
    mean, std = (",".join(map(str, numbers)) for numbers in IMAGENET)
    targets = ("tflite-int8", "tflite-fp32", "onnx-fp32", "onnx-int8", "tflm-int8")
    result = project.build(reference, *ARGUMENTS, "--mean", mean, "--std", std, *[a for t in targets for a in ("--target", t)])
    assert result.code == 0, result.err
    assert ops_of(project, "tflite-int8") == {"DEPTHWISE_CONV_2D": 1, "CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    (file,) = int8_file(project).inputs
    assert (file.scale, file.zero_point) == (1.0, -128)
    raw = images(seed=3)
    wanted = source_outputs(project, raw, *IMAGENET)
    for target in targets:
        for given in (raw, raw.astype(np.float32)):
            got = ek.run(project.artifact(target), given)
            assert sqnr_db(wanted, got) >= (100.0 if "fp32" in target else 28.0), target
        assert project.report(target)["io"]["inputs"][0]["preprocessing"]["mean"] == pytest.approx(list(IMAGENET[0]))


def test_float_inputs_take_the_raw_values_too(camera: tuple[Project, str]) -> None:
    project, reference = camera
    arguments = ("--mean", "0.5", "--std", "0.25", "--io", "float32", "--target", "tflite-int8")
    assert project.build(reference, *ARGUMENTS, *arguments).code == 0
    runtime = int8_file(project)
    assert runtime.inputs[0].dtype == "float32" and runtime.outputs[0].dtype == "float32"
    raw = images(seed=4)
    assert sqnr_db(source_outputs(project, raw, 0.5, 0.25), ek.run(project.artifact("tflite-int8"), raw)) >= 28.0


def test_values_that_are_no_bytes_keep_their_precision(camera: tuple[Project, str]) -> None:
    """Declared with a scale of 1 the raw values are reals between 0 and 1: integers of scale 1 would know two of them."""
    project, reference = camera
    project.npz("calibration.npz", x=images().astype(np.float32) / 255)
    arguments = ("--scale", "1", "--mean", "0.5", "--std", "0.25", "--target", "tflite-int8")
    assert project.build(reference, *ARGUMENTS, *arguments).code == 0
    raw = images(seed=5).astype(np.float32) / 255
    assert sqnr_db(source_outputs(project, raw, 0.5, 0.25, 1.0), ek.run(project.artifact("tflite-int8"), raw)) >= 28.0


def test_data_in_the_cameras_order_of_axes_is_declared_in_the_configuration(camera: tuple[Project, str]) -> None:
    project, reference = camera
    project.npz("calibration.npz", x=images().transpose(0, 2, 3, 1))
    raw = images(seed=6)
    project.npz("test.npz", x=raw.transpose(0, 2, 3, 1), y=np.arange(len(raw)) % 5)
    project.write(
        f"""
        model = "{reference}"
        targets = ["tflite-int8"]
        calibration = "calibration.npz"
        evaluate = "test.npz"
        [input.x]
        scale = 255
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]
        layout = "NHWC"
        """,
        "edgekit.toml",
    )
    result = project.build()
    assert result.code == 0, result.err
    wanted = source_outputs(project, raw, *IMAGENET)
    assert sqnr_db(wanted, ek.run(project.artifact("tflite-int8"), raw)) >= 28.0
    (row,) = [r for r in project.report("tflite-int8")["evaluation"] if r["metric"] == "top1"]
    truth = np.arange(len(raw)) % 5
    assert row["source"] == pytest.approx(float((wanted.argmax(1) == truth).mean()))
    assert "layout" not in result.err


def test_the_snippets_of_the_report_feed_bytes(camera: tuple[Project, str]) -> None:
    project, reference = camera
    assert (
        project.build(reference, *ARGUMENTS, "--mean", "0", "--std", "1", "--io", "uint8", "--target", "tflite-int8").code == 0
    )
    io = project.report("tflite-int8")["io"]
    assert io["inputs"][0]["dtype"] == "uint8"
    assert {"python", "kotlin"} <= set(io["snippets"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mean", "0.5,0.5"), "2 numbers of mean or std for 3 channels"),
        (("--std", "0"), "'std' must be above 0"),
        (("--mean", "a,b"), "cannot read the numbers 'a,b'"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(camera: tuple[Project, str], arguments: tuple[str, ...], message: str) -> None:
    project, reference = camera
    result = project.build(reference, *ARGUMENTS, *arguments, "--target", "tflite-int8")
    what, _, hint = result.parts()
    assert result.code == 2 and message in what and hint
    assert not (project.folder / "edgekit-out" / "tflite-int8").exists()


def test_floats_beside_a_mean_without_a_scale_are_ambiguous(camera: tuple[Project, str]) -> None:
    project, reference = camera
    project.npz("calibration.npz", x=images().astype(np.float32))
    result = project.build(reference, *ARGUMENTS, "--mean", "0.5", "--target", "tflite-int8")
    what, _, hint = result.parts()
    assert result.code == 2 and "without a scale" in what and "--scale 1" in hint


def test_the_record_in_the_file_says_what_is_done_to_raw_values(camera: tuple[Project, str]) -> None:
    project, reference = camera
    assert project.build(reference, *ARGUMENTS, "--mean", "0", "--std", "1", "--target", "tflite-int8").code == 0
    content = Path(project.artifact("tflite-int8")).read_bytes()
    assert b"by_quantization" in read(content, where=None).metadata[IO_KEY]
