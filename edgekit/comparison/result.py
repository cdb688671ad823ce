"""What a comparison found, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "edgekit.compare/1"

#: JSON has no infinity: equal outputs are this many dB, broken ones its negative.
_LIMIT_DB = 200.0


@dataclass(frozen=True)
class OutputError:
    """How far B's output is from A's; formulas in ``edgekit.metrics``.

    Attributes:
        name: of A's output.
        shape: of one sample.
        sqnr_db: signal to noise, infinite where they are equal.
        max_abs_error: largest difference of an element.
        top1_agreement: share of samples with the same largest score, None where the output is no scores.
    """

    name: str
    shape: tuple[int, ...]
    sqnr_db: float
    max_abs_error: float
    top1_agreement: float | None = None


@dataclass(frozen=True)
class LayerRow:
    """How far B's value is from A's, of a value that both graphs compute under one name."""

    name: str
    op: str
    where: str
    sqnr_db: float
    max_abs_error: float


@dataclass(frozen=True)
class Comparison:
    """Two forms of a model on the same inputs.

    Attributes:
        a, b: what was compared; A is the reference.
        data: what the inputs were.
        samples: how many.
        outputs: one row an output.
        layers: where both are graphs, one row for each value that both compute, in B's order.
    """

    a: str
    b: str
    data: str
    samples: int
    outputs: tuple[OutputError, ...]
    layers: tuple[LayerRow, ...] = ()

    @property
    def identical(self) -> bool:
        """Every output is equal in every bit."""
        return all(row.max_abs_error == 0.0 for row in self.outputs)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, infinite SQNR as plus or minus 200 dB."""
        document = {"schema": SCHEMA, **asdict(self)}
        for row in (*document["outputs"], *document["layers"]):
            row["sqnr_db"] = max(-_LIMIT_DB, min(_LIMIT_DB, row["sqnr_db"]))
            row["max_abs_error"] = min(row["max_abs_error"], 3.4028235e38)
        return document
