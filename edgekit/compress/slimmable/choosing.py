"""What the step ``slim`` does: the size that is asked for, or the largest within a budget, as a graph of its own."""

from __future__ import annotations

import time
from typing import Any

from edgekit.compress.context import Context
from edgekit.compress.gauging.meters import Reading
from edgekit.compress.prune.gauged import allowed_by, gauge_of, measured_details, measured_note, unsteady
from edgekit.compress.recording import recorded
from edgekit.compress.slimmable.extraction import ONE, nested_of, slimmable_record
from edgekit.compress.slimmable.size import Size
from edgekit.compress.slimmable.slim import COUNTED, Slim
from edgekit.errors import OverBudget
from edgekit.ir import Graph


def slim(step: Slim, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Slim.apply``."""
    started = time.perf_counter()
    rows = slimmable_record(graph).details["sizes"]
    measured: dict[str, Any] = {}
    warnings: list[str] = []
    if step.width is not None:
        size = Size(float(step.width), float(step.depth))
    elif step.is_measured:
        size, measured, warnings = _measured(step, graph, rows, data, context)
    else:
        size = _counted(step, graph, rows)
    small = nested_of(graph, size).filled(graph)
    details = {"size": size.as_dict(), **({"measured": measured} if measured else {})}
    notes = (f"size {size.name} of {len(rows)}", *([measured_note(measured)] if measured else []))
    return recorded(ONE, step, graph, small, started, details=details, notes=notes, warnings=tuple(warnings))


def _counted(step: Slim, graph: Graph, rows: list[dict[str, Any]]) -> Size:
    """The largest size whose MACs or parameters, as the training recorded them, are within the budget."""
    name = next(name for name in COUNTED if getattr(step, name) is not None)
    amount, whole = float(getattr(step, name)), rows[0][name]
    allowed = amount * whole if amount <= 1.0 else amount
    fitting = [row for row in rows if row[name] <= allowed]
    if not fitting:
        least = min(rows, key=lambda row: int(row[name]))
        raise _over(graph, f"{name} to {allowed:,.0f}", f"{least[name]:,}", _size(least))
    return _size(max(fitting, key=lambda row: int(row[name])))


def _measured(
    step: Slim, graph: Graph, rows: list[dict[str, Any]], data: object | None, context: Context
) -> tuple[Size, dict[str, Any], list[str]]:
    """The largest size whose file was measured within the budget; sizes are tried from the largest on."""
    allowed = allowed_by(step)
    tried: list[tuple[Size, Reading]] = []
    whole = nested_of(graph, Size()).filled(graph)
    with gauge_of(step, whole, data, context) as gauge:
        for row in sorted(rows, key=lambda row: -int(row["macs"])):
            size = _size(row)
            reading = gauge.before if size.is_whole else gauge(nested_of(graph, size).filled(graph))
            tried.append((size, reading))
            if allowed.meets(reading):
                break
        else:
            limit = f"{100 * allowed.amount:g}%" if allowed.is_share else allowed.text(allowed.amount)
            size, reading = min(tried, key=lambda each: allowed.cost(each[1]))
            raise _over(graph, f"the {allowed.measure} to {limit}", f"{allowed.text(reading.value)} were measured", size)
        candidates = [{"size": each.name, "value": found.value, "share": found.share} for each, found in tried]
        details = measured_details(step, gauge, reading, candidates)
    return size, details, unsteady(reading)


def _size(row: dict[str, Any]) -> Size:
    return Size(row["width"], row["depth"])


def _over(graph: Graph, limit: str, found: str, least: Size) -> OverBudget:
    return OverBudget(
        f"no size brings {limit}: at {least.name}, the least of them, {found}",
        where=f"slim of {graph.name}",
        hint="a larger budget, or a smaller width in the step 'slimmable'",
    )
