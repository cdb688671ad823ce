"""What a build of some targets came to, and its summary as one document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    report: Report | None = field(repr=False)
    error: BaseException | None = None


def summary(builds: Sequence[Build]) -> dict[str, Any]:
    """All targets of a build as one document (``edgekit.summary/1``)."""
    errors = [b.error for b in builds if b.error is not None]
    return {
        "schema": SUMMARY,
        "exit_code": exit_code_of(errors),
        "reports": [b.report.as_dict() for b in builds if b.report is not None],
        "errors": [_told(b.target, b.error) for b in builds if b.error is not None],
    }


def failed(error: BaseException) -> dict[str, Any]:
    """The summary of a build that ended before any target was begun."""
    return {"schema": SUMMARY, "exit_code": exit_code_of([error]), "reports": [], "errors": [_told(None, error)]}


def _told(target: str | None, error: BaseException) -> dict[str, Any]:
    what, where, hint = (getattr(error, part, None) for part in ("what", "where", "hint"))
    return {"target": target, "what": what or str(error), "where": where, "try": hint, "exit_code": exit_code_of([error])}


def summary_of_folder(output: Path, targets: Sequence[str]) -> dict[str, Any]:
    """The summary of an up-to-date build, from the reports that lie in the output folder."""
    reports = [json.loads((output / name / "report.json").read_text()) for name in targets]
    return {"schema": SUMMARY, "exit_code": 0, "reports": reports, "errors": []}
