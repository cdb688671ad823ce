"""The page's section about quantisation: what was chosen, moved and learned, and what each layer alone costs."""

from __future__ import annotations

from edgekit.report.alone_plot import columns
from edgekit.report.markup import Column, Html, details, element, section, table
from edgekit.report.model import SQNR_LIMIT_DB, Report
from edgekit.report.numbers import db_text, metric_text, percent_text
from edgekit.report.quantization import QuantizationInfo, SensitivityInfo


def quantization_section(report: Report) -> Html:
    """Nothing where the graph was not quantised after training, or nothing beyond the usual was asked for."""
    info = report.quantization
    if info is None:
        return Html("")
    parts = [_sensitivity(info.sensitivity), _equalized(info), _rounded(info)]
    if not any(parts) and len(info.observers) < 2:
        return Html("")
    return section("Quantisation", *parts, lead=_lead(info))


def _lead(info: QuantizationInfo) -> str:
    chosen = ", ".join(f"{count} by {name}" for name, count in sorted(info.observers.items(), key=lambda item: -item[1]))
    said = [f"Ranges of activations: {chosen}." if chosen else ""]
    if info.bias_corrected:
        said.append(f"The mean error of {info.bias_corrected} layers was moved into their biases.")
    return " ".join(filter(None, said))


def _sensitivity(found: SensitivityInfo | None) -> Html:
    if found is None or not found.layers:
        return Html("")
    labels = [layer.label for layer in found.layers]
    decibels = [min(layer.sqnr_db, SQNR_LIMIT_DB / 2) for layer in found.layers]
    plots = [columns(labels, decibels, "Signal to noise at the output when this layer alone is quantised, dB", "dB")]
    names = list(found.metrics)
    for name in names[:1]:
        values = [layer.metrics[name] for layer in found.layers]
        if set(values) == {found.metrics[name]}:
            plots.append(element("p", f"{name} stays {metric_text(found.metrics[name])} whichever layer is quantised alone."))
            continue
        title = f"{name} when this layer alone is quantised; the line is the float model's"
        plots.append(columns(labels, values, title, name, base=found.metrics[name]))
    rows = [
        (
            element("span", layer.label, css="name"),
            layer.op,
            layer.dtype,
            db_text(layer.sqnr_db),
            *[Html(f"{metric_text(layer.metrics[n])} ({layer.metrics[n] - found.metrics[n]:+.4f})") for n in names],
        )
        for layer in sorted(found.layers, key=lambda layer: layer.sqnr_db)
    ]
    heads = [Column("Layer alone"), Column("op"), Column("type"), Column("SQNR", True), *[Column(name, True) for name in names]]
    where = f"SQNR on {found.samples} samples"
    where += f", metrics on {found.metric_samples:,}." if names and found.metric_samples else "."
    return Html("".join(plots) + element("p", where) + table(heads, rows, css="scroll tall" if len(rows) > 16 else "scroll"))


def _equalized(info: QuantizationInfo) -> Html:
    rows = [
        (
            element("span", f"{pair.first} → {pair.second}", css="name"),
            str(pair.channels),
            f"{pair.scales[0]:.3g} to {pair.scales[1]:.3g}",
            f"{pair.spread_before:.3g} → {pair.spread_after:.3g}",
        )
        for pair in info.equalized
    ]
    heads = [Column("Equalised"), Column("channels", True), Column("scales", True), Column("largest / median range", True)]
    left = [(element("span", name, css="name"), why) for name, why in info.not_equalized.items()]
    rest = table([Column("Not equalised"), Column("because")], left)
    return Html(table(heads, rows) + (details(f"left as they were: {len(left)}", rest) if left and rows else rest))


def _rounded(info: QuantizationInfo) -> Html:
    rows = [
        (
            element("span", row.weight, css="name"),
            f"{row.nearest:.3g}",
            f"{row.learned:.3g}",
            percent_text(row.changed),
            "" if row.kept else "nearest is better",
        )
        for row in info.rounding
    ]
    heads = [Column("Rounding learned"), Column("error, nearest", True), Column("learned", True), Column("changed", True)]
    return table([*heads, Column("")], rows)
