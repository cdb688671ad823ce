"""What a build of some targets came to, and its summary as one document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import exit_code_of

if TYPE_CHECKING:
    from edgekit.report import Report

SUMMARY = "edgekit.summary/1"


@dataclass(frozen=True)
class Build:
    """What one target came to.

    Attributes:
        target: its name.
        artifact: the file, None where none was written.
        report: everything measured; None where the target failed before there was anything to report.
        error: why the build of this target failed, or None.
    """

    target: str
    artifact: Path | None
    report: Report | None
    error: BaseException | None = None


def summary(builds: Sequence[Build]) -> dict[str, Any]:
    """All targets of a build as one document (``edgekit.summary/1``)."""
    errors = [b.error for b in builds if b.error is not None]
    return {
        "schema": SUMMARY,
        "exit_code": exit_code_of(errors),
        "reports": [b.report.as_dict() for b in builds if b.report is not None],
        "errors": [
            {"target": b.target, "what": getattr(b.error, "what", str(b.error)), "where": getattr(b.error, "where", None),
             "try": getattr(b.error, "hint", None), "exit_code": exit_code_of([b.error])}
            for b in builds if b.error is not None
        ],
    }  # fmt: skip


def summary_of_folder(output: Path, targets: Sequence[str]) -> dict[str, Any]:
    """The summary of an up-to-date build, from the reports that lie in the output folder."""
    reports = [json.loads((output / name / "report.json").read_text()) for name in targets]
    return {"schema": SUMMARY, "exit_code": 0, "reports": reports, "errors": []}
