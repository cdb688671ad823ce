"""``report.json`` and ``report.html`` beside the artifact."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.report.model import Report
from edgekit.report.page import to_html

#: The published schema of report.json.
SCHEMA_PATH = Path(__file__).parent / "report.schema.json"


def to_json(report: Report) -> str:
    """The content of report.json: indented, in a fixed order, with nothing that JSON lacks."""
    return json.dumps(report.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(report: Report, folder: Path) -> None:
    """Writes both files into a folder that is there. Whoever calls it makes them appear whole or not at all.

    Raises:
        OSError: the folder can't be written.
    """
    (folder / "report.json").write_text(to_json(report), encoding="utf-8")
    (folder / "report.html").write_text(to_html(report), encoding="utf-8")
