"""The operator table as a page of the docs."""

from __future__ import annotations

from benchmarks.operators.entries import ROOT, Entry
from benchmarks.operators.row import TARGETS

PAGE = ROOT / "docs" / "operators.md"

_HEAD = """# Operators

Written by `python -m benchmarks.op_table`; `edgekit ops` prints the same. Every row is a form that people write, built for
four targets, run in LiteRT and in ONNX Runtime, and compared with PyTorch: float files within 1e-5 of the largest output
(notes say where not), int8 files of LiteRT integer for integer with `edgekit.ir.simulate`, and no further from PyTorch than
25 dB, except where a function has steps that rounding moves elements across. A test measures all rows again.

| sign | float | int8 |
|---|---|---|
| ✓ | supported | nothing to quantise: the same as in float |
| ✓ 41 dB | | in integers; how much signal is left over the noise of 8 bits |
| ~ 41 dB | | partly in integers, the rest in float for the reason in the notes |
| float | | computed in float, for the reason in the notes |
| – | refused while building, with the message in the notes, the place in your model, and what to try | |

"""


def page(entries: list[Entry]) -> str:
    """The whole page."""
    lines = [_HEAD + counts(entries), ""]
    for family in dict.fromkeys(each["family"] for each in entries):
        lines += [
            f"## {family}",
            "",
            "| PyTorch | TFLite | ONNX | TFLite int8 | ONNX int8 | notes |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_line(each) for each in entries if each["family"] == family]
        lines.append("")
    return "\n".join(lines)


def counts(entries: list[Entry]) -> str:
    """How many rows each target takes."""
    taken = {target: sum(each[target] != "refused" for each in entries) for target in TARGETS}
    told = ", ".join(f"{count} in `{target}`" for target, count in taken.items())
    return f"{len(entries)} rows: {told}."


def cell(each: Entry, target: str) -> str:
    """The sign of a row in a target."""
    found = each[target]
    decibels = each["decibels"][TARGETS.index(target) - 2] if target in TARGETS[2:] else None
    sign = {"yes": "✓", "integers": "✓", "mixed": "~", "float": "float", "refused": "–"}[found]
    return f"{sign} {decibels} dB" if decibels is not None else sign


def _line(each: Entry) -> str:
    cells = [cell(each, target) for target in TARGETS]
    notes = "; ".join(each["notes"]).replace("|", "\\|").replace("\n", " ")
    name = each["name"].replace("|", "\\|")
    return f"| {name} | {' | '.join(cells)} | {notes} |"
