"""What each layer alone costs, on a terminal: the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.report.model import Report
from edgekit.report.numbers import db_text, metric_text

if TYPE_CHECKING:
    from rich.table import Table

#: Layers that are shown; the page has all.
_SHOWN = 12


def fill(table: Table, report: Report) -> Table:
    """Adds the rows to a table whose columns are those of :func:`columns_of`."""
    from rich.markup import escape

    found = None if report.quantization is None else report.quantization.sensitivity
    if found is None:
        return table
    ordered = sorted(found.layers, key=lambda layer: layer.sqnr_db)
    for layer in ordered[:_SHOWN]:
        changes = [f"{metric_text(layer.metrics[n])} ({layer.metrics[n] - found.metrics[n]:+.4f})" for n in found.metrics]
        table.add_row(f"  {escape(layer.label)}", layer.op, layer.dtype, db_text(layer.sqnr_db), *changes)
    if rest := ordered[_SHOWN:]:
        table.add_row(f"  {len(rest)} other layers", "", "", f"≥ {db_text(rest[0].sqnr_db)}", *["" for _ in found.metrics])
    return table


def columns_of(report: Report) -> tuple[str, ...]:
    """Headings: layer, type, the error at the output, and the user's metrics."""
    found = None if report.quantization is None else report.quantization.sensitivity
    return ("this layer alone", "op", "type", "SQNR", *(() if found is None else found.metrics))
