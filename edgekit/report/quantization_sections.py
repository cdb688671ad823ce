"""The page's section about quantisation: what was chosen, moved and learned, and what each layer alone costs."""

from __future__ import annotations

from edgekit.report.alone_plot import columns
from edgekit.report.markup import Column, Html, details, element, section, table
from edgekit.report.model import SQNR_LIMIT_DB, Report
from edgekit.report.numbers import bytes_text, db_text, metric_text, percent_text
from edgekit.report.quantization import PrecisionsInfo, QuantizationInfo, SensitivityInfo, SharedScalesInfo


def quantization_section(report: Report) -> Html:
    """Nothing where the graph was not quantised after training, or nothing beyond the usual was asked for."""
    info = report.quantization
    if info is None:
        return Html("")
    parts = [_precisions(info.precisions), _sensitivity(info.sensitivity), _equalized(info), _rounded(info)]
    parts.append(_shared_scales(info.shared_scales))
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


def _precisions(found: PrecisionsInfo | None) -> Html:
    if found is None:
        return Html("")
    rows = [
        (
            element("span", row.layer, css="name"),
            row.weights,
            row.activations,
            bytes_text(row.bytes),
            bytes_text(row.int8_bytes),
            "not counted" if row.slowdown is None else f"{row.slowdown:.2f}",
        )
        for row in found.layers
    ]
    heads = [Column("Layer"), Column("weights"), Column("activations"), Column("bytes", True), Column("in int8", True)]
    lead = precisions_text(found)
    return Html(element("p", lead) + table([*heads, Column("instructions / int8", True)], rows, css="scroll"))


def precisions_text(found: PrecisionsInfo) -> str:
    """How the types came about and what they cost, in words."""
    other = sum((row.weights, row.activations) != ("int8", "int8") for row in found.layers)
    count = len(found.layers)
    said = [f"{other} of {count} layers are not int8" if other else f"all {count} layers are int8"]
    if found.asked:
        said.append(f"chosen for {found.asked}")
    if found.drop is not None:
        said.append(f"the metric dropped by {found.drop:.2f} points while choosing")
    if found.slower:
        said.append(f"{found.slower} of them slower than in int8, or not counted")
    if not other:
        return "; ".join(said) + "."
    return "; ".join(said) + ". Instructions: ARM64, emulated, the larger of Cortex-A53 and A76; on x86 the factors are larger."


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


def _shared_scales(found: SharedScalesInfo | None) -> Html:
    if found is None or not any(row.shared for row in found.layers):
        return Html("")
    rows = [
        (
            element("span", row.weight, css="name"),
            str(row.channels),
            "one for all" if row.shared else "one a channel",
            db_text(row.own_db),
            db_text(row.shared_db),
        )
        for row in found.layers
    ]
    heads = [Column("Linear layer"), Column("channels", True), Column("scales"), Column("error, one a channel", True)]
    return Html(element("p", shared_scales_text(found)) + table([*heads, Column("one for all", True)], rows, css="scroll"))


def shared_scales_text(found: SharedScalesInfo) -> str:
    """What sharing scales saved and cost, in words."""
    shared = sum(row.shared for row in found.layers)
    said = (
        f"{shared} of {len(found.layers)} linear layers have one scale for all channels: {bytes_text(found.saved)} less.",
        f"On the calibration data the output is {db_text(found.sqnr_db)} from the source; with all scales it would",
        f"be {db_text(found.own_sqnr_db)}. Errors: of the layer's weight alone at the model's output, relative to it.",
    )
    return " ".join(said)
