"""The multi-scale dense network among the examples: its shape, and the example as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.formats.tflite.read import read
from edgekit.ir.exits import exit_plan
from examples.msdnet.net import MsdNet, small

REPOSITORY = Path(__file__).resolve().parents[2]


def test_scales_end_where_no_later_exit_needs_them_and_features_stay_beside_new_ones() -> None:
    net = MsdNet(3, 10, widths=(4, 8, 16), growth=(4, 8, 16), blocks=(2, 1, 1))
    scales = net.first(torch.zeros(1, 3, 32, 32))
    assert [tuple(x.shape[1:]) for x in scales] == [(4, 32, 32), (8, 16, 16), (16, 8, 8)]
    first = net.blocks[0](scales)
    assert [tuple(x.shape[1:]) for x in first] == [(24, 16, 16), (48, 8, 8)]  # 8 + 2 * 8 and 16 + 2 * 16; the finest has ended
    assert torch.equal(first[1][:, :16], scales[2])
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.slow
def test_it_gets_exits_behind_its_blocks_and_one_int8_file_decides(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((96, 1, 8, 8), np.float32), np.arange(96) % 10
    step = ek.EarlyExit(
        at=("blocks.0", "blocks.1"),
        freeze=False,
        epochs=1,
        mean_cost=0.6,
        training=ek.Training(batch_size=16, lr=1e-3, validation=0.5),
    )
    graph = step.apply(ek.load(small(), torch.zeros(1, 1, 8, 8)), ek.Data(train=(x, y)))
    plan = exit_plan(graph)
    assert plan is not None
    assert [sum(node.op.macs(node) > 0 for node in region) > 0 for region in plan.regions] == [True, True]
    first, _, last = plan.macs()
    assert first < 0.3 * last  # coarse features are there from the first layer on
    made = ek.build(graph, "tflite-int8", calibration=x, output=tmp_path)
    assert len(read(made.artifact.read_bytes()).subgraphs) == 5  # two IFs with two branches each
    assert made.report.verification[-1].equal_integers == 1.0


@pytest.mark.slow
def test_the_example_leaves_early_for_most_digits_and_keeps_its_accuracy(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("generated", "edgekit-out", "__pycache__")
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples", ignore=ignored)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "examples.msdnet.demo"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "examples" / "msdnet" / "edgekit-out" / "tflite-int8"
    report = json.loads((folder / "report.json").read_text())
    found = report["history"][-1]["details"]["evaluation"]
    assert found["top1"] > 0.96 and found["top1_of_last"] - found["top1"] < 0.01
    assert found["cost"]["mean"] < 0.5
    (top1,) = (row for row in report["evaluation"] if row["metric"] == "top1")
    assert abs(top1["artifact"] - found["top1"]) < 0.01
