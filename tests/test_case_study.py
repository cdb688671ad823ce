"""The case study in the documentation: its figures are the recorded ones, and its example is what was measured."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "case-study.md").read_text()


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / "pruning.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pruned(recorded: dict[str, Any]) -> dict[str, Any]:
    (row,) = (row for row in recorded["figures"] if (row["case"], row["seed"]) == ("fpgm", 0))
    return row  # type: ignore[no-any-return]


def test_its_table_has_the_recorded_figures(recorded: dict[str, Any], pruned: dict[str, Any]) -> None:
    rows = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| ")}
    for title, row in (("unpruned", recorded["unpruned"]), ("pruned and trained", pruned)):
        for key in ("macs", "parameters", "bytes", "instructions"):
            assert f"{row[key]:,}" in rows[title], (title, key)
        for key in ("top1", "top1_int8"):
            assert f"{row[key]:.2%}".replace("%", " %") in rows[title], (title, key)
    assert f"{pruned['before']:.2%}".replace("%", " %") in rows["pruned, before training"]
    assert f"{pruned['cpu_minutes']:.1f} CPU minutes" in PAGE


def test_its_example_is_what_was_measured(recorded: dict[str, Any], pruned: dict[str, Any]) -> None:
    config = tomllib.loads((ROOT / "examples" / "resnet20_cifar" / "edgekit.toml").read_text())
    prune, tune = config["recipe"]
    assert (prune["macs"], prune["criterion"]) == (0.5, pruned["case"])
    assert (tune["epochs"], tune["lr"]) == (pruned["epochs"], recorded["settings"]["lr"])
    assert tune["distillation"].items() <= recorded["settings"]["distillation"].items()


def test_it_prints_the_examples_recipe() -> None:
    written = (ROOT / "examples" / "resnet20_cifar" / "edgekit.toml").read_text()
    shown = PAGE.split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(shown).items() <= tomllib.loads(written).items()
