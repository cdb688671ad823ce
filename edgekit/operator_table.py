"""What is known of every form of PyTorch's operators: rows that were built, run and compared, packaged as data.

The rows are made by ``benchmarks/op_table.py`` of the repository, and its tests measure them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

#: How a target has an operator: as it is ("yes"), in integers, in integers and in float, in float alone, or not at all.
Support = Literal["yes", "integers", "mixed", "float", "refused"]

TARGETS = ("tflite-fp32", "onnx-fp32", "tflite-int8", "onnx-int8")

_FILE = Path(__file__).parent / "operators.json"


@dataclass(frozen=True)
class OperatorRow:
    """One operator in one form.

    Attributes:
        family: what it belongs to, such as "Pools".
        name: as users write it.
        support: by target.
        decibels: signal over noise of int8 files against PyTorch, by target; absent where no integers are.
        notes: why something is refused or stays float, and other reservations.
    """

    family: str
    name: str
    support: Mapping[str, Support]
    decibels: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def matches(self, word: str) -> bool:
        """Name or family has the word, in any case."""
        return word.lower() in f"{self.family} {self.name}".lower()

    def sign(self, target: str) -> str:
        """``✓``, ``~`` (partly in integers), ``float`` or ``–``."""
        return {"yes": "✓", "integers": "✓", "mixed": "~", "float": "float", "refused": "–"}[self.support[target]]


@cache
def operator_table() -> tuple[OperatorRow, ...]:
    """All rows, family by family. Imports neither torch nor a runtime."""
    rows = json.loads(_FILE.read_text(encoding="utf-8"))["rows"]
    return tuple(
        OperatorRow(
            row["family"],
            row["name"],
            {target: row[target] for target in TARGETS},
            {target: value for target, value in zip(TARGETS[2:], row["decibels"], strict=True) if value is not None},
            tuple(row["notes"]),
        )
        for row in rows
    )
