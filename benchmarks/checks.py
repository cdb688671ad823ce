"""Figures held against bars: what is printed, recorded and decides the exit code of a suite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Check:
    """One figure of one subject beside its bar.

    Attributes:
        subject: what was measured, such as a network and a target.
        figure: which figure, with its unit.
        value: the measured value.
        bar: what it may be at most, or must be at least.
        sense: which of the two.
    """

    subject: str
    figure: str
    value: float
    bar: float
    sense: Literal["<=", ">="]

    @property
    def passed(self) -> bool:
        """The value is on the right side of the bar; NaN never is."""
        return self.value <= self.bar if self.sense == "<=" else self.value >= self.bar

    def __str__(self) -> str:
        return (
            f"{'pass' if self.passed else 'FAIL'}  {self.subject}: {self.figure} {self.value:,.7g} {self.sense} {self.bar:,.7g}"
        )


def conclude(checks: Sequence[Check]) -> int:
    """Prints all checks and returns the exit code: 0 where all pass, else 1."""
    for check in checks:
        print(check)
    failed = sum(not check.passed for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} pass")
    return 1 if failed else 0


def record(name: str, content: dict[str, Any], checks: Sequence[Check]) -> Path:
    """Writes ``results/NAME.json``: the content, and every check with its verdict."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    rows = [{**asdict(check), "passed": check.passed} for check in checks]
    path.write_text(json.dumps({**content, "checks": rows}, indent=1) + "\n")
    return path


def into_readme(name: str, lines: Sequence[str]) -> None:
    """Replaces what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in README.md.

    Raises:
        ValueError: README.md lacks these marks.
    """
    path = HERE / "README.md"
    text = path.read_text()
    before, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not begin or not end:
        raise ValueError(f"README.md has no place for '{name}'")
    path.write_text(before + begin + "\n".join(lines) + "\n" + end + after)


def table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Rows with the same keys as Markdown."""
    names = list(rows[0])
    return [
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(row[name] for name in names) + " |" for row in rows),
    ]
