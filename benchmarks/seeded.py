"""Figures of cases with several seeds, recorded one by one: a suite of an hour goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import networks
from benchmarks.checks import RESULTS, Check, into_readme, record

Figures = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What such a suite was asked for on its command line.

    Attributes:
        cases: those to measure.
        seeds: of each case; empty: the suite's usual ones.
        work: folder of trainings that may be taken up again.
        quick: few images, and nothing is recorded.
    """

    cases: tuple[str, ...]
    seeds: tuple[int, ...]
    work: Path
    quick: bool

    def runs(self, usual: Sequence[int] = (0,), seedless: Collection[str] = ()) -> Iterator[tuple[str, int]]:
        """Every case with every seed, or with the usual ones where none were asked for; ``seedless`` cases once, with 0."""
        return ((case, seed) for case in self.cases for seed in ((0,) if case in seedless else self.seeds or usual))


def asked(text: str | None, name: str, cases: Iterable[str], usual: Sequence[str] = ()) -> Asked:
    """Reads ``[--case NAME]... [--seed N]... [--work FOLDER] [--quick]``, and has torch run on one thread.

    Args:
        text: the suite's own description.
        name: of the suite, which its folder of work is called after.
        cases: all that it has.
        usual: those that are measured where none is named; () for all.

    Raises:
        SystemExit: with code 2 where the options make no sense or the data is not there.
    """
    known = list(cases)
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=known, default=[])
    parser.add_argument("--seed", action="append", type=int, default=[])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"edgekit-{name}")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if not networks.available():
        parser.exit(2, f"the data ({networks.DATA}) is not there\n")
    torch.set_num_threads(1)
    return Asked(tuple(given.case or usual or known), tuple(given.seed), given.work, given.quick)


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
