"""The runner in environments that the tests build: old and new runtimes, old and new numpy, the oldest Python, ARM64."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.bench import runner
from edgekit.bench.qemu.cpu import CPUS
from edgekit.bench.qemu.userland import run_python, userland_folder
from tests.bench.models import dense

RUNNER = Path(runner.__file__)
QUICK = ["--seconds", "0.05", "--warmup-seconds", "0.01"]

#: name -> (interpreters to try, packages)
ENVIRONMENTS = {
    "litert-numpy2": (
        ("python3.11", "python3.12"),
        ("ai-edge-litert==2.3.0", "numpy>=2", *("flatbuffers", "tqdm", "protobuf")),
    ),
    "tflite-runtime-numpy1": (("python3.11", "python3.10"), ("tflite-runtime==2.14.0", "numpy==1.26.4")),
    "tflite-runtime-python3.9": (("python3.9",), ("tflite-runtime==2.14.0", "numpy==1.26.4")),
    "onnxruntime": (("python3.11", "python3.12"), ("onnxruntime", "numpy")),
}

pytestmark = pytest.mark.slow


def interpreter(names: tuple[str, ...]) -> str:
    """The first of these Pythons that runs here, also among pyenv's."""
    for name in names:
        version = name.removeprefix("python")
        places = [shutil.which(name), *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))]
        for place in filter(None, places):
            done = subprocess.run(
                [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
            )
            if done.stdout.strip() == version:
                return place
    pytest.skip(f"none of {', '.join(names)} is installed")


def build(name: str) -> Path:
    """A virtual environment with exactly these packages, made once and kept in the cache."""
    names, packages = ENVIRONMENTS[name]
    cache = Path(os.environ.get("EDGEKIT_CACHE") or Path.home() / ".cache" / "edgekit") / "environments" / name
    python = cache / "bin/python"
    if not (cache / "ready").exists():
        shutil.rmtree(cache, ignore_errors=True)
        subprocess.run([interpreter(names), "-m", "venv", str(cache)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True, timeout=900)
        (cache / "ready").touch()
    return python


def answer_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = done.stdout.splitlines()
    assert lines and lines[-1].startswith("EDGEKIT_RESULT "), done.stderr
    content: dict[str, Any] = json.loads(lines[-1].removeprefix("EDGEKIT_RESULT "))
    return content


def run(python: Path, model: Path) -> dict[str, Any]:
    command = [str(python), str(RUNNER), str(model), *QUICK]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return answer_of(subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(dense(256, 64))
    return path


@pytest.mark.parametrize("name", ["litert-numpy2", "tflite-runtime-numpy1", "tflite-runtime-python3.9"])
def test_the_runner_works_with_each_tflite_runtime(name: str, model: Path) -> None:
    answer = run(build(name), model)
    assert answer["error"] is None, answer["error"]
    assert answer["latency_us"]["count"] >= 30
    # tflite-runtime 2.14 gives XNNPACK float models only, and the runner says so.
    assert (answer["runtime"]["name"], answer["kernels"]["delegate"]) == (
        ("litert", "XNNPACK") if "litert" in name else ("tflite-runtime", None)
    )


def test_the_runner_works_with_onnx_runtime(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 8]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)
    answer = run(build("onnxruntime"), path)
    assert answer["error"] is None and answer["runtime"]["name"] == "onnxruntime"


def test_the_runner_works_on_arm64_and_agrees_with_this_machine(model: Path) -> None:
    if not userland_folder().is_dir() or shutil.which("qemu-aarch64") is None:
        pytest.skip("the ARM64 userland is missing: edgekit bench --setup-qemu --userland")
    there = answer_of(run_python(CPUS["cortex-a53"], [str(RUNNER), str(model), *QUICK]))
    here = run(Path(sys.executable), model)
    assert there["runtime"]["machine"] == "aarch64" and there["latency_us"]["count"] >= 30
    assert there["output"]["sha256"] == here["output"]["sha256"]


def test_a_runtime_that_does_not_fit_its_numpy_is_told_apart_from_a_missing_one(model: Path, tmp_path: Path) -> None:
    """tflite-runtime 2.14 installs beside numpy 2 and imports, then fails at its first use."""
    python = build("tflite-runtime-numpy1")
    extra = tmp_path / "numpy2"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--target", str(extra), "numpy>=2"], check=True, timeout=300)
    done = subprocess.run(
        [str(python), str(RUNNER), str(model), *QUICK], capture_output=True, text=True, env={"PYTHONPATH": str(extra)}
    )
    assert answer_of(done)["error"]["kind"] == "runtime-broken"
