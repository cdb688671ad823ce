"""The sizes of a slimmable network on the page: what each costs and how good it is, and the curve of one against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.report.exit_sections import curve, percent
from edgekit.report.markup import Column, Html, element, section, table
from edgekit.report.numbers import count_text, metric_text


def slimmable_section(history: Sequence[Mapping[str, Any]]) -> Html:
    """A table and a curve for every step that made the network slimmable; nothing where none did."""
    parts: list[Html] = []
    for number, record in enumerate(history):
        if record.get("step") != "slimmable":
            continue
        rows = record.get("details", {}).get("sizes", [])
        metric = _metric(rows)
        columns = [Column("Size"), Column("MACs", True), Column("of all", True), Column("parameters", True)]
        columns += [Column(metric or "metric", True), Column("top-1, held out", True)]
        whole = max((row["macs"] for row in rows), default=1)
        parts.append(table(columns, [_row(row, metric, whole) for row in rows]))
        if metric is not None:
            points = [{"mean_cost": row["macs"] / whole, "top1": row["metrics"][metric]} for row in rows]
            points.sort(key=lambda point: point["mean_cost"])
            exits = _exits(history[number + 1 :], whole) if metric == "top1" else []
            title = f"{metric} against cost, for all sizes" + (", and with exits for thresholds of many goals" if exits else "")
            parts.append(Html(curve(points, title, metric, exits)))
        on = "the evaluation data, in float" if metric is not None else "what was held out of the training data"
        parts.append(element("p", f"Measured on {on}. Each size has a file and a report of its own."))
    return section(
        "Sizes",
        *parts,
        lead="One set of weights runs at several sizes: a device, or an app that knows what it has to spare, chooses.",
    )


def _exits(later: Sequence[Mapping[str, Any]], whole: int) -> list[dict[str, float]]:
    """The curve of the exits that one size was given since, as shares of what the whole network costs."""
    record = next((record for record in later if record.get("step") == "early_exit"), None)
    if record is None:
        return []
    scale = record["macs"][0] / whole
    points = record.get("details", {}).get("curve", [])
    return [{"mean_cost": point["mean_cost"] * scale, "top1": point["top1"]} for point in points]


def _metric(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The metric that is drawn: top-1 where it was measured, else the first one."""
    names = list(rows[0].get("metrics") or {}) if rows else []
    return "top1" if "top1" in names else next(iter(names), None)


def _row(row: Mapping[str, Any], metric: str | None, whole: int) -> tuple[str, ...]:
    held = row.get("held_out")
    return (
        str(row["name"]),
        count_text(row["macs"]),
        percent(row["macs"] / max(whole, 1)),
        count_text(row["parameters"]),
        "–" if metric is None else metric_text(row["metrics"][metric]),
        "–" if held is None or held["top1"] is None else metric_text(held["top1"]),
    )
