"""A session as Markdown, for a pull request or a report."""

from __future__ import annotations

from edgekit.bench.output.table import lines_of, rows_of, title_of
from edgekit.bench.session import Session


def as_markdown(session: Session) -> str:
    """A table and a list."""
    header, rows = rows_of(session)
    text = [title_of(session), "", _line(header), _line(["---"] + ["---:"] * (len(header) - 1)), *map(_line, rows)]
    notes = [f"- {' '.join(line.split())}" for _, line in lines_of(session)]
    return "\n".join(text + (["", *notes] if notes else [])) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
