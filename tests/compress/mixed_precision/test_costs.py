"""The table of costs holds the figures that were counted."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.compress.mixed_precision.costs import CORES, PER_MAC

RECORDED = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "layer_costs.json"


def test_every_figure_is_the_recorded_one() -> None:
    rows = json.loads(RECORDED.read_text())["figures"]
    recorded = {(row["kind"], row["precision"]): tuple(row["per_mac"][core] for core in CORES) for row in rows}
    held = {(kind, str(precision)): figures for kind, row in PER_MAC.items() for precision, figures in row.items()}
    assert held == recorded
