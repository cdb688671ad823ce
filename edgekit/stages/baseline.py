"""An earlier report as a limit on growth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.report import BudgetCheck

#: What is compared: name, and where it stands in a report.
_FIGURES = {
    "model_bytes": ("artifact", "bytes"),
    "peak_memory_bytes": ("artifact", "peak_memory_bytes"),
    "macs": ("graph", "macs"),
    "operators": ("artifact", "operators"),
}


def read_baseline(path: Path, target: str) -> dict[str, Any] | None:
    """The report of ``target`` in a report.json or a summary.json; None where the summary has no such target.

    Raises:
        InputError: no such file, or not a report.
    """
    try:
        document = json.loads(path.read_text())
        if document.get("schema") == "edgekit.summary/1":
            return next((r for r in document["reports"] if r["target"] == target), None)
        if document.get("schema") != "edgekit.report/1":
            raise ValueError("it has no schema edgekit.report/1 or edgekit.summary/1")
    except OSError as error:
        raise InputError(
            f"cannot read the baseline: {error.strerror}", where=path, hint="report.json or summary.json of a build"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the baseline is not a report: {error}", where=path, hint="report.json or summary.json of a build"
        ) from error
    return document if document["target"] == target else None


def check_growth(current: dict[str, Any], baseline: dict[str, Any], growth: float) -> tuple[BudgetCheck, ...]:
    """Size, memory, work and number of ops against the baseline; a figure that either lacks is left out."""
    checks = []
    for name, path in _FIGURES.items():
        before, now = _figure(baseline, path), _figure(current, path)
        if before is None or now is None:
            continue
        limit = before * (1.0 + growth)
        note = f"was {before:,.0f}"
        checks.append(BudgetCheck(name, limit, now, "baseline", now <= limit, note))
    return tuple(checks)


def _figure(report: dict[str, Any], path: tuple[str, str]) -> float | None:
    value = (report.get(path[0]) or {}).get(path[1])
    if isinstance(value, dict):
        return float(sum(value.values()))
    return None if value is None else float(value)
