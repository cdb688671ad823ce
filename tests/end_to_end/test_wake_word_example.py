"""The wake-word example: its network has an exact stream, and the built one hears what was said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from examples.wake_word.net import build
from examples.wake_word.sounds import BANDS, FRAMES, windows

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_network_has_a_stream_that_meets_every_window() -> None:
    x, labels = windows(4, seed=0)
    assert x.shape == (4, 1, FRAMES, BANDS) and labels.tolist() == [0, 1, 0, 1]
    graph = ek.load(build().eval(), (torch.from_numpy(x[:1]),))
    record = ek.to_frames(graph, ek.Streaming(2)).stream
    assert record is not None and record.hop == 2 and record.outputs[0].ready == 25


@pytest.mark.slow
def test_the_built_stream_hears_the_wake_word_where_it_was_said(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("generated", "edgekit-out", "__pycache__")
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples", ignore=ignored)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}", "NO_COLOR": "1"}

    def run(*command: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    accuracy = float(run("-m", "examples.wake_word.train").split()[-1].rstrip("%"))
    assert accuracy > 97
    run("-m", "edgekit", "build", folder=tmp_path / "examples" / "wake_word")
    said, heard = (
        [float(moment) for moment in line.split("at")[1].replace("s", "").split(",")]
        for line in run("-m", "examples.wake_word.listen").splitlines()
    )
    assert len(heard) == len(said) and np.all(np.abs(np.subtract(heard, said)) < 1.2)
