"""When a build is done again: never without a reason, and always when something that it read has changed."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.output import exclusive
from tests.end_to_end.projects import SMALL, Project

FLOAT = ("--target", "tflite-fp32")
INT8 = ("--calibration", "calibration.npz", "--target", "tflite-int8")


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


def test_other_options_are_another_build(project: Project) -> None:
    reference = project.model(SMALL)
    for change in ((), ("--io", "float32"), ("--batch", "2"), ("--target", "tflite-fp32"), ("--name", "other")):
        result = project.build(reference, *INT8, *change)
        assert result.code == 0 and "up to date" not in result.out, change


def test_the_users_source_is_an_input_of_the_build(project: Project) -> None:
    reference = project.model(SMALL)
    assert project.build(reference, *FLOAT).code == 0
    assert "up to date" in project.process("build", reference, *FLOAT).out
    path = project.folder / f"{project.module}.py"
    path.write_text(path.read_text().replace("manual_seed(0)", "manual_seed(17)"))  # another length: no bytecode fits
    before = project.artifact("tflite-fp32").read_bytes()
    del sys.modules[project.module]
    assert "up to date" not in project.build(reference, *FLOAT).out
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
    arguments = (reference, *FLOAT, "--device", project.device(model_bytes=100))
    assert project.build(*arguments).code == 3
    assert project.build(*arguments).code == 3


def test_the_depfile_names_outputs_and_everything_that_was_read(project: Project) -> None:
    reference = project.model(SMALL)
    result = project.process("build", reference, *INT8, "--depfile", "net.d")
    assert result.code == 0, result.err
    text = (project.folder / "net.d").read_text()
    outputs, _, inputs = text.partition(":")
    assert outputs == str(project.artifact("tflite-int8"))  # alone: Ninja refuses outputs that the build file does not name
    assert f"{project.module}.py" in inputs and "calibration.npz" in inputs
    assert "site-packages" not in inputs


def test_a_build_waits_while_another_one_has_the_output_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ThreadPoolExecutor(1) as pool:
        with exclusive(out):
            build = pool.submit(ek.build, torch.nn.Linear(2, 2), FLOAT[1], example_inputs=torch.zeros(1, 2), output=out)
            with pytest.raises(TimeoutError):
                build.result(timeout=1)
            assert not (out / FLOAT[1]).exists()
        assert build.result(timeout=60).artifact.is_file()


@pytest.mark.slow
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
