"""`edgekit build` with precisions in edgekit.toml, and what reads the files that it makes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.cli.root import main

TARGETS = ("tflite-w4a8", "tflite-int16", "onnx-w4a8", "onnx-int16", "onnx-dynamic", "onnx-fp16")
CONFIG = """
model = "net.ekg"
calibration = "data.npz"
evaluate = "data.npz"
targets = ["{targets}"]
[quantization]
observer = "min_max"
layers = {{ "6" = {{ weights = "int8" }} }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with its data."""
    path = tmp_path_factory.mktemp("precisions")
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 24, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 5),
    )
    graph = ek.load(nn.Sequential(*layers, nn.Softmax(1)).eval(), example_inputs=(torch.zeros(1, 3, 12, 12),))
    graph.save(path / "net.ekg")
    x = np.random.default_rng(0).standard_normal((48, 3, 12, 12)).astype(np.float32)
    np.savez(path / "data.npz", x=x, y=graph.module().eval().run([torch.from_numpy(x)])[0].argmax(1).numpy())
    (path / "edgekit.toml").write_text(CONFIG.format(targets='", "'.join(TARGETS)))
    return path


def command(folder: Path, *words: str) -> str:
    """What a command prints; it must end well."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
        patch.chdir(folder)
        code = main(list(words))
    assert code == 0, output.getvalue()
    return output.getvalue()


def test_every_precision_is_built_run_verified_and_not_built_again(folder: Path) -> None:
    command(folder, "build")
    x = np.load(folder / "data.npz")["x"]
    for target in TARGETS:
        report = json.loads((folder / "edgekit-out" / target / "report.json").read_text())
        assert report["status"] == "good"
        np.testing.assert_allclose(ek.run(artifact(folder, target), x[:3]).sum(1), 1.0, atol=0.02)
        exact = [row["equal_integers"] for row in report["verification"] if row["against"] == "simulation"]
        assert exact == ([1.0] if target in ("tflite-w4a8", "tflite-int16") else [])
    four = json.loads((folder / "edgekit-out" / "tflite-w4a8" / "report.json").read_text())["quantization"]["precisions"]
    assert [row["weights"] for row in four["layers"]] == ["int4", "int4", "int8"]
    assert "up to date" in command(folder, "build")


@pytest.mark.parametrize("target", ["tflite-w4a8", "tflite-int16", "onnx-w4a8", "onnx-int16"])
def test_inspect_and_compare_read_narrow_and_wide_integers(folder: Path, target: str) -> None:
    command(folder, "build")  # up to date
    first, second = (artifact(folder, name) for name in (target, "onnx-fp16"))
    seen = json.loads(command(folder, "inspect", first, "--json"))
    floats = 4 * (16 * 27 + 24 * 16 + 5 * 24)
    assert sum(op["weight_bytes"] for op in seen["ops"]) < floats * (0.35 if "w4a8" in target else 0.5)
    assert "same top-1" in command(folder, "compare", first, second)


def artifact(folder: Path, target: str) -> str:
    report = json.loads((folder / "edgekit-out" / target / "report.json").read_text())
    return str(folder / "edgekit-out" / target / report["artifact"]["path"])
