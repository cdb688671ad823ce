"""A project folder for each test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.projects import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with calibration data for images of one channel, 8 x 8."""
    made = Project(tmp_path)
    made.npz("calibration.npz", x=np.random.default_rng(0).random((24, 1, 8, 8), np.float32))
    return made
