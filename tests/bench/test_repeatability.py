"""The real thing on a loaded machine: headlines that repeat, no false alarm, a planted slowdown that is caught."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.harness_repeatability import MODELS, busy, comparisons, sessions
from edgekit.bench.rounds import Stopping

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", MODELS)
def test_the_headline_of_six_sessions_on_a_loaded_machine_varies_by_three_per_cent_at_most(name: str, real_data: Path) -> None:
    with busy(os.cpu_count() or 2):
        found = sessions(real_data / "models" / name, 6, Stopping())
    assert float(found["median_cv"]) <= 0.03, found  # type: ignore[arg-type]


@pytest.mark.parametrize("slowed", [False, True], ids=["the same file", "10 % slower"])
def test_a_change_is_claimed_where_there_is_one_and_nowhere_else(slowed: bool, real_data: Path) -> None:
    """Four comparisons here; the benchmark makes twenty."""
    with busy(os.cpu_count() or 2):
        found = comparisons(real_data / "models" / MODELS[0], 4, Stopping(), slowed=slowed)
    claimed = int(found["claimed"])  # type: ignore[call-overload]
    assert claimed >= 3 if slowed else claimed == 0, found
