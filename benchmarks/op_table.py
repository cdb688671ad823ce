"""Every form of every operator that people write in PyTorch, in four targets.

python -m benchmarks.op_table                 # all rows; writes edgekit/operators.json and docs/operators.md
python -m benchmarks.op_table --only conv     # prints the rows whose name or family has the word
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.operators.entries import Entry, entry, read, write
from benchmarks.operators.families import FAMILIES
from benchmarks.operators.measure import measure
from benchmarks.operators.page import PAGE, cell, page
from benchmarks.operators.row import TARGETS


def main() -> int:
    """Measure; exit code 1 where a row is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of a row's name or family")
    parser.add_argument("--update", action="store_true", help="record what was measured, and leave all other rows as they are")
    parser.add_argument("--page", action="store_true", help="write the page of what is recorded, without measuring")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(read()), encoding="utf-8")
        return 0
    torch.set_num_threads(1)
    started, wrong = time.perf_counter(), 0
    entries: list[Entry] = []
    for family, rows in FAMILIES.items():
        for row in rows:
            if options.only.lower() not in f"{family} {row.name}".lower():
                continue
            measured = measure(row)
            found = entry(family, row, measured)
            entries.append(found)
            problems = {target: outcome.wrong for target, outcome in measured.outcomes.items() if outcome.wrong}
            wrong += bool(problems)
            if problems or options.only:
                signs = "  ".join(f"{cell(found, target):>8}" for target in TARGETS)
                errors = max(outcome.error for outcome in measured.outcomes.values())
                print(f"{row.name:60} {signs}  {errors:.1e}  {'; '.join(found['notes'])} {problems or ''}")
    print(f"{len(entries)} rows, {wrong} wrong, {time.perf_counter() - started:.0f} s")
    if not wrong and (options.update or not options.only):
        if options.update:
            entries = merged(read(), entries)
        write(entries)
        PAGE.write_text(page(entries), encoding="utf-8")
    return int(wrong > 0)


def merged(recorded: list[Entry], fresh: list[Entry]) -> list[Entry]:
    """All rows that there are, in their order: the fresh ones, and the others as they were recorded."""
    known = {each["name"]: each for each in [*recorded, *fresh]}
    return [{**known[row.name], "family": family} for family, rows in FAMILIES.items() for row in rows]


if __name__ == "__main__":
    raise SystemExit(main())
