"""The exit rates that a file carries and a report tells are those of the file, not of the float graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.formats.tflite.paths import rates_of
from edgekit.ir import Graph
from edgekit.ir.exits import exit_plan
from edgekit.ir.history import StepRecord
from edgekit.report.exit_sections import curve, file_text
from edgekit.runtime.exits_taken import exits_taken
from tests.exits import network, samples


def recorded(rates: tuple[float, ...]) -> Graph:
    """The network with a record of another network's samples."""
    graph = network()
    rows = [
        {"name": name, "rate": rate, "macs": 10 * cost, "share": cost / 4, "top1_of_those": None, "top1_alone": 0.5}
        for name, rate, cost in zip("abc", rates, (1, 2, 4), strict=True)
    ]
    costs = {"mean": float(np.dot(rates, (0.25, 0.5, 1.0))), "p90": 1.0, "worst": 1.0}
    found = {"exits": rows, "samples": 40, "cost": costs, "top1": 0.5, "top1_of_last": 0.5}
    graph.history = (StepRecord("early_exit", details={"held_out": found, "evaluation": found}),)
    return graph


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, np.ndarray, np.ndarray]:
    x = samples(120, seed=5).numpy()
    with torch.no_grad():
        labels = network().module().eval()(torch.from_numpy(x)).argmax(1).numpy()
    build = ek.build(
        recorded((0.0, 0.0, 1.0)), "tflite-int8", calibration=x, evaluate=(x, labels), output=tmp_path_factory.mktemp("out")
    )
    return build, x, labels


def test_rates_are_measured_on_the_file(built: tuple[Any, np.ndarray, np.ndarray]) -> None:
    build, x, labels = built
    taken = exits_taken(build.artifact.read_bytes(), x)
    carried = rates_of(build.artifact.read_bytes())
    assert taken is not None and carried is not None
    assert carried.on == "file" and carried.samples == 120 and carried.rates == pytest.approx(taken.rates, abs=1e-6)
    (record,) = build.report.history
    found = record["details"]["file"]
    assert [row["rate"] for row in found["exits"]] == list(taken.rates) and min(taken.rates) > 0
    assert found["cost"]["mean"] == pytest.approx(np.dot(taken.rates, (0.25, 0.5, 1.0))) and found["cost"]["p90"] == 1.0
    (top1,) = [row.artifact for row in build.report.evaluation if row.metric == "top1"]
    assert found["top1"] == pytest.approx(top1)
    right = ek.run(build.artifact, x).argmax(1) == labels
    assert found["exits"][0]["top1_of_those"] == pytest.approx(right[taken.places == 0].mean())


def test_a_file_that_leaves_elsewhere_than_the_graph_says_so(built: tuple[Any, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    build, *_ = built
    assert any("leave elsewhere" in line and "not 100.0 %" in line for line in build.report.warnings)
    page = (build.artifact.parent / "report.html").read_text()
    (record,) = build.report.history
    (line,) = file_text(record)
    assert "In the file itself, 120 samples" in page and "% at the 90th percentile" in line
    x = samples(8).numpy()
    plain = ek.build(recorded((0.4, 0.1, 0.5)), "tflite-fp32", output=tmp_path, calibration=x)
    assert "file" not in plain.report.history[0]["details"], "nothing was evaluated"
    assert file_text(plain.report.history[0]) == []


def test_steps_behind_the_exits_are_told_with_what_they_cost_now(tmp_path: Path) -> None:
    graph, x = recorded((0.0, 0.0, 1.0)), samples(60, seed=5).numpy()
    (exits,) = graph.history
    plan = exit_plan(graph)
    assert plan is not None
    macs = plan.macs()
    graph.history = (replace(exits, details={**exits.details, "whole_macs": 2 * macs[-1]}), StepRecord("prune"))
    with torch.no_grad():
        labels = (graph.module().eval()(torch.from_numpy(x)).argmax(1).numpy() + 1) % 5  # all wrong; before it was one half
    build = ek.build(graph, "tflite-fp32", evaluate=(x, labels), output=tmp_path)
    (told,) = [line for line in build.report.warnings if "leave elsewhere" in line]
    assert "before 'prune' came" in told and "not 100.0 %" in told and "top1 is 0.00 %, not 50.00 %" in told
    found = build.report.history[0]["details"]["file"]
    assert [row["macs"] for row in found["exits"]] == list(macs) and found["cost"]["worst"] == 0.5


def test_the_curve_has_a_ring_around_what_was_chosen() -> None:
    points = [{"mean_cost": 0.2, "top1": 0.5}, {"mean_cost": 0.9, "top1": 0.8}]
    drawn = curve(points, "title", chosen={"mean_cost": 0.4, "top1": 0.9})
    assert "chosen: top-1 0.9000 at 40.0 % of the MACs" in drawn and ">0.900<" in drawn and 'r="7"' in drawn
    assert "chosen" not in curve(points, "title")
