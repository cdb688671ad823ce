"""report.json: what it holds, that it fits its published schema, and that it is valid JSON whatever was measured."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgekit.report import BudgetCheck, GraphSummary, Layer, Report, SourceInfo, Verification
from edgekit.report.files import SCHEMA_PATH, to_json, write
from tests.report.sample import sample

SCHEMA = json.loads(SCHEMA_PATH.read_text())


def closed(schema: Any) -> Any:
    """The schema with no room for fields that it does not name."""
    schema = copy.deepcopy(schema)
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if "properties" in node:
                node["additionalProperties"] = False
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return schema


def minimal(**changes: Any) -> Report:
    graph = GraphSummary(1, 2, 3, 4)
    return dataclasses.replace(Report(SourceInfo("net.ekg", "net"), "tflite-fp32", {"edgekit": "0"}, graph, graph), **changes)


@pytest.mark.parametrize("report", [sample(), minimal()], ids=["full", "minimal"])
def test_a_report_fits_its_schema_which_names_every_field(report: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(closed(SCHEMA)).validate(json.loads(to_json(report)))


def test_the_schema_describes_every_field_of_the_dataclasses() -> None:
    fields = {f.name for f in dataclasses.fields(Report)} - {"drawing"}
    assert set(SCHEMA["properties"]) == fields | {"schema", "status"}


def test_numbers_that_json_lacks_are_bounded() -> None:
    rows = [
        Verification("source", "LiteRT", "2", "default", 1, value, 0.0) for value in (float("inf"), float("-inf"), float("nan"))
    ]
    document = json.loads(to_json(minimal(verification=tuple(rows))))
    assert [row["sqnr_db"] for row in document["verification"]] == [200.0, -200.0, -200.0]


def test_the_same_report_is_the_same_text() -> None:
    assert to_json(sample()) == to_json(sample())


def test_the_drawing_is_on_the_page_only(tmp_path: Path) -> None:
    write(sample(), tmp_path)
    assert "<svg" not in (tmp_path / "report.json").read_text()
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_status_is_the_worst_of_what_was_checked() -> None:
    missed = Verification("source", "LiteRT", "2", "default", 1, 3.0, 1.0, floor_db=15, passed=False)
    over = BudgetCheck("model_bytes", 10, 11, passed=False)
    unmeasured = BudgetCheck("p95_latency_ms", 10, None)
    assert minimal().status == "good"
    assert minimal(budget=(unmeasured,)).status == "good"
    assert minimal(budget=(over,)).status == "over_budget"
    assert minimal(budget=(over,), verification=(missed,)).status == "below_floor"


def test_reports_hold_plain_data_only() -> None:
    row = Layer("a", "conv2d", "", (1, 2), "int8", scale=(0.5, 0.5))
    assert minimal(layers=(row,), config={"path": Path("a/b"), "list": (1, 2)}).as_dict()["config"] == {
        "path": "a/b",
        "list": [1, 2],
    }
