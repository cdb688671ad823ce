"""What is recorded of a row, and where: the file that `edgekit ops` prints and the page of the docs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.operators.measure import Measured, Outcome
from benchmarks.operators.row import TARGETS, Row

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "edgekit" / "operators.json"

Entry = dict[str, Any]


def entry(family: str, row: Row, measured: Measured) -> Entry:
    """A row as plain data: for each target a form, and notes."""
    made: Entry = {"family": family, "name": row.name}
    for target in TARGETS:
        made[target] = form(measured.outcomes[target])
    made["decibels"] = [_rounded(measured.outcomes[target]) for target in TARGETS[2:]]
    made["notes"] = list(dict.fromkeys(_notes(row, measured)))
    made["ops"] = list(measured.ops)
    return made


def form(outcome: Outcome) -> str:
    """``yes``, ``integers``, ``mixed``, ``float`` or ``refused``."""
    if outcome.refused:
        return "refused"
    if not outcome.integers:
        return "float" if outcome.islands else "yes"
    return "mixed" if outcome.islands else "integers"


def write(entries: list[Entry]) -> None:
    """One row a line, so that a change shows as one."""
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in entries)
    TABLE.write_text(f'{{"schema": "edgekit.operators/1", "rows": [\n{lines}\n]}}\n', encoding="utf-8")


def read() -> list[Entry]:
    """The recorded table."""
    rows: list[Entry] = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    return rows


def _rounded(outcome: Outcome) -> int | None:
    """None where no integers are: nothing is lost, or the file was refused."""
    return round(outcome.decibels) if outcome.integers and outcome.decibels != float("inf") else None


def _notes(row: Row, measured: Measured) -> Iterable[str]:
    refusals = {target: outcome.refused for target, outcome in measured.outcomes.items() if outcome.refused}
    if len(set(refusals.values())) == 1 and len(refusals) == len(TARGETS):
        yield f"refused: {next(iter(refusals.values()))}"
    else:
        for text in dict.fromkeys(refusals.values()):
            names = ", ".join(target for target, refused in refusals.items() if refused == text)
            yield f"{names} refused: {text}"
    islands = [outcome.islands for outcome in measured.outcomes.values()]
    for reason in dict.fromkeys(reason for found in islands for reason in found):
        yield f"float in int8 files: {reason}"
    if row.why:
        yield row.why
    if measured.note:
        yield measured.note
