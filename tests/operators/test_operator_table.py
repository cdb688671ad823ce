"""The operator table: what is recorded holds, row by row, and page and command show what is recorded."""

from __future__ import annotations

import pytest
import torch

from benchmarks.operators.entries import Entry, entry, read
from benchmarks.operators.families import FAMILIES, ROWS
from benchmarks.operators.measure import measure
from benchmarks.operators.page import PAGE, page
from benchmarks.operators.row import TARGETS, Row
from edgekit.ir.ops import OPS

torch.set_num_threads(1)

#: One row in so many is measured in every test run.
EVERY = 25

FAMILY = {row.name: family for family, rows in FAMILIES.items() for row in rows}

#: Ops of the graph that no form of PyTorch becomes: they come from compression steps, from borders of integers, from ONNX.
MADE_ELSEWHERE = {"binary_sign", "binary_weight", "choose_exit", "fake_quantize", "identity", "softsign"}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Entry]:
    return {each["name"]: each for each in read()}


def forms(each: Entry) -> dict[str, object]:
    """Everything but the figures, which vary with the machine."""
    return {key: value for key, value in each.items() if key != "decibels"}


def assert_as_recorded(row: Row, recorded: dict[str, Entry]) -> None:
    measured = measure(row)
    assert {target: outcome.wrong for target, outcome in measured.outcomes.items() if outcome.wrong} == {}
    assert forms(entry(FAMILY[row.name], row, measured)) == forms(recorded[row.name])


def test_every_row_has_a_name_of_its_own_and_is_recorded(recorded: dict[str, Entry]) -> None:
    assert len(FAMILY) == len(ROWS)
    assert [(each["family"], each["name"]) for each in recorded.values()] == [(FAMILY[row.name], row.name) for row in ROWS]


def test_what_is_recorded_as_refused_is_what_the_rows_say(recorded: dict[str, Entry]) -> None:
    for row in ROWS:
        refused = {target for target in TARGETS if "source" in row.refused or target in row.refused}
        assert {target for target in TARGETS if recorded[row.name][target] == "refused"} == refused, row.name


def test_every_op_of_the_graph_comes_from_some_row(recorded: dict[str, Entry]) -> None:
    made = {op for each in recorded.values() for op in each["ops"]}
    assert set(OPS) - made == MADE_ELSEWHERE


def test_the_page_shows_what_is_recorded(recorded: dict[str, Entry]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(list(recorded.values()))


@pytest.mark.parametrize("row", ROWS[::EVERY], ids=lambda row: row.name)
def test_a_row_does_what_is_recorded(row: Row, recorded: dict[str, Entry]) -> None:
    assert_as_recorded(row, recorded)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for place, row in enumerate(ROWS) if place % EVERY], ids=lambda row: row.name)
def test_every_other_row_does_what_is_recorded(row: Row, recorded: dict[str, Entry]) -> None:
    assert_as_recorded(row, recorded)


def test_an_unusual_bound_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="no reason"):
        Row("x", lambda: torch.relu, (), tolerance=1e-3)
