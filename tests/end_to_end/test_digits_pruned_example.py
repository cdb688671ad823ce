"""The example of a recipe, as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_example_prunes_to_a_quarter_and_keeps_its_accuracy(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("generated", "edgekit-out", "__pycache__")
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples", ignore=ignored)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "examples.digits_pruned.demo"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "top-1" in done.stdout
    folder = tmp_path / "examples" / "digits_pruned"
    report = json.loads((folder / "edgekit-out" / "tflite-int8" / "report.json").read_text())
    assert report["graph"]["macs"] <= 0.25 * report["source_graph"]["macs"]
    (top1,) = (row for row in report["evaluation"] if row["metric"] == "top1")
    assert top1["artifact"] > top1["source"] - 0.015 > 0.97
