"""The page's section on compression: what every step cost and gained, how its trainings went, and what it left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.report.curves import curve_plots
from edgekit.report.markup import Column, Html, details, element, section, table
from edgekit.report.model import Report
from edgekit.report.numbers import bytes_text, count_text, metric_text, seconds_text


def step_section(report: Report) -> Html:
    """One row a step, the curves, and what was declined; nothing where there was no recipe."""
    rows = [
        (
            element("span", name_of(record), css="name"),
            options_text(record),
            change_text(record, "macs", count_text),
            change_text(record, "parameters", count_text),
            change_text(record, "weight_bytes", bytes_text),
            metrics_text(record),
            seconds_text(record["seconds"]),
        )
        for record in report.history
    ]
    columns = [Column("Step"), Column("options"), Column("MACs", True), Column("parameters", True), Column("bytes", True)]
    left = [(name_of(r), name, reason) for r in report.history for name, reason in r["declined"].items()]
    said, told = (
        [element("li", f"{name_of(record)}: {line}") for record in report.history for line in record.get(key, ())]
        for key in ("warnings", "notes")
    )
    controls = [row for record in report.history for row in control_rows(record)]
    columns_of_controls = [Column("metrics"), Column("on what was held out")]
    return section(
        "Compression",
        table([*columns, Column("metrics"), Column("time", True)], rows),
        element("ul", *said, css="notes warn-box") if said else "",
        element("ul", *told, css="notes") if told else "",
        table([Column("Network"), Column("epochs", True), *columns_of_controls], controls),
        *(Html(plot) for plot in curve_plots(report.history)),
        details(f"What the steps left alone ({len(left)})", table([Column("Step"), Column("Layer"), Column("reason")], left)),
        lead="Each step changes the function: what it cost and gained, measured before and after.",
    )


#: What the networks of a comparison are called.
_COMPARED = {
    "pruned": "as it is",
    "scratch_e": "from scratch, equal epochs",
    "scratch_b": "from scratch, equal compute",
}


def control_rows(record: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The pruned network and its controls: name, epochs, the user's metrics, metrics of the part held out."""
    found = record.get("details", {}).get("controls", {})
    return [
        (f"{name_of(record)}, {label}", str(row["trained_epochs"]), _metrics(row["metrics"]), _metrics(row["validation"]))
        for key, label in _COMPARED.items()
        if (row := found.get(key)) is not None
    ]


def _metrics(found: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {metric_text(value)}" for name, value in found.items())


def name_of(record: Mapping[str, Any]) -> str:
    """``fine tune``"""
    return str(record["step"]).replace("_", " ")


def options_text(record: Mapping[str, Any]) -> str:
    """``macs 0.5, training (lr 0.01)``"""
    return _listed(record["options"])


def _listed(options: Mapping[str, Any]) -> str:
    shown = []
    for key, value in options.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            shown.append(f"{name} ({_listed(value)})" if value else name)
        elif isinstance(value, list | tuple):
            shown.append(f"{name} {', '.join(map(str, value))}")
        else:
            shown.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(shown)


def change_text(record: Mapping[str, Any], key: str, show: Callable[[float], str]) -> str:
    """``12.5 M → 6.2 M``; one number where nothing changed, nothing where it was not counted."""
    before, after = record[key]
    if before == after:
        return show(after) if after else ""
    return f"{show(before)} → {show(after)}"


def metrics_text(record: Mapping[str, Any]) -> str:
    """``top1 0.9214 → 0.9187``"""
    return "; ".join(
        f"{name} {metric_text(before)} → {metric_text(after)}" for name, (before, after) in record["metrics"].items()
    )
