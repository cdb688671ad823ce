"""Figures of cases with several seeds, recorded one by one: a suite of an hour goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.checks import RESULTS, Check, into_readme, record

Figures = dict[str, Any]


class SeededFigures:
    """The rows of one suite, each with its "case" and "seed"."""

    def __init__(
        self,
        name: str,
        context: Figures,
        cases: Sequence[str],
        checks: Callable[[list[Figures]], list[Check]],
        lines: Callable[[list[Figures]], list[str]],
    ) -> None:
        """Takes over what was recorded under the same ``context``.

        Args:
            name: of ``results/NAME.json`` and of the place in README.md.
            context: settings and reference figures: rows that were measured with others are dropped.
            cases: in the order in which they are shown.
            checks: of rows.
            lines: the table of rows.
        """
        self._name, self._context, self._order = name, json.loads(json.dumps(context)), list(cases)
        self._checks, self._lines = checks, lines
        path = RESULTS / f"{name}.json"
        recorded = json.loads(path.read_text()) if path.exists() else {}
        same = all(recorded.get(key) == value for key, value in self._context.items())
        self.rows: list[Figures] = recorded["figures"] if same and "figures" in recorded else []

    def add(self, row: Figures, *, keep: bool = True) -> None:
        """A row in place of an earlier one of its case and seed; it is recorded at once, unless it is not to be kept."""
        print(row, flush=True)
        key = (row["case"], row["seed"])
        self.rows = [other for other in self.rows if (other["case"], other["seed"]) != key] + [row]
        self.rows.sort(key=lambda one: (self._order.index(one["case"]), one["seed"]))
        if keep:
            record(self._name, {**self._context, "figures": self.rows}, self.checks)
            into_readme(self._name, self._lines(self.rows))

    @property
    def checks(self) -> list[Check]:
        """Of all rows."""
        return self._checks(self.rows)
