"""The page's sections about layers: where the error comes from, where the bytes go, and the table of all."""

from __future__ import annotations

import re

from edgekit.report.markup import Column, Html, element, section, table
from edgekit.report.model import SQNR_LIMIT_DB, Layer, Report
from edgekit.report.numbers import bytes_text, count_text, db_text, shape_text
from edgekit.report.plots import Part, Point, bars, data_bar, descent, stacked_bar

_SHOWN = 12


def error_section(report: Report) -> Html:
    """Which layers cause the error, and how the signal fares along the network."""
    alone = [layer for layer in report.layers if layer.alone_sqnr_db is not None and layer.alone_sqnr_db < SQNR_LIMIT_DB]
    points = [
        Point(layer.label, layer.sqnr_db)
        for layer in report.layers
        if layer.sqnr_db is not None and -SQNR_LIMIT_DB < layer.sqnr_db < SQNR_LIMIT_DB
    ]
    parts = _shares(alone)
    caused = ""
    if parts:
        lead = element("p", "Share of the output's error that each layer causes when it alone is quantised; the largest first.")
        caused = Html(lead + bars(parts, "Layers by the error that they cause"))
    along = ""
    if len(points) > 1:
        lead = element("p", "Signal to noise after each layer, against the float graph. A fall is where error enters.")
        along = Html(lead + descent(points, "Signal to noise along the network", "dB"))
    return section("Where the error comes from", caused, along, _islands(report))


def _islands(report: Report) -> Html:
    """Which ops stay float, and why; one row for each kind of op and reason."""
    alike: dict[tuple[str, str], list[Layer]] = {}
    for layer in report.layers:
        if layer.float_reason:
            alike.setdefault((layer.op.split(" ")[0], layer.float_reason), []).append(layer)
    rows = [
        (
            Html(f"{element('span', op, css='name')} × {len(same)}"),
            reason,
            element("span", ", ".join(layer.label for layer in same), css="where"),
        )
        for (op, reason), same in alike.items()
    ]
    return table([Column("Stays float"), Column("because"), Column("where")], rows)


def _shares(alone: list[Layer]) -> list[Part]:
    """The largest shares of noise energy, ``10^(-SQNR / 10)``, and the rest in one."""
    noise = [(layer.label, 10 ** (-(layer.alone_sqnr_db or 0.0) / 10)) for layer in alone]
    total = sum(share for _, share in noise)
    if not total:
        return []
    ordered = sorted(noise, key=lambda item: -item[1])
    parts = [Part(name, value, f"{100 * value / total:.1f} %", "c1") for name, value in ordered[:_SHOWN]]
    if rest := ordered[_SHOWN:]:
        value = sum(share for _, share in rest)
        parts.append(Part(f"{len(rest)} other layers", value, f"{100 * value / total:.1f} %", "c4"))
    return parts


def bytes_section(report: Report) -> Html:
    """The file's parts, and the layers with the most weights."""
    if report.artifact is None or report.artifact.sizes is None:
        return Html("")
    sizes = report.artifact.sizes
    parts = [
        Part("weights", sizes.weights, bytes_text(sizes.weights), "c1"),
        Part("quantisation", sizes.quantization, bytes_text(sizes.quantization), "c2"),
        Part("structure", sizes.structure, bytes_text(sizes.structure), "c4"),
        Part("metadata", sizes.metadata, bytes_text(sizes.metadata), "c3"),
    ]
    heavy = sorted((layer for layer in report.layers if layer.weight_bytes), key=lambda layer: -layer.weight_bytes)
    rows = [Part(layer.label, layer.weight_bytes, bytes_text(layer.weight_bytes)) for layer in heavy[:_SHOWN]]
    if rest := heavy[_SHOWN:]:
        value = sum(layer.weight_bytes for layer in rest)
        rows.append(Part(f"{len(rest)} other layers", value, bytes_text(value), "c4"))
    whole = Html(stacked_bar(parts, "Parts of the file"))
    layers = Html(bars(rows, "Layers by the bytes of their weights")) if len(rows) > 1 else Html("")
    lead = f"{report.artifact.bytes:,} bytes in the file."
    return section("Where the bytes go", whole, layers, lead=lead)


def layer_section(report: Report) -> Html:
    """All layers, one a row."""
    most = max((layer.macs for layer in report.layers), default=0) or 1
    rows = [
        (
            _named(layer),
            layer.op,
            shape_text(layer.shape),
            _dtype(layer),
            Html(f"{count_text(layer.macs)}{data_bar(layer.macs / most)}") if layer.macs else "",
            bytes_text(layer.weight_bytes) if layer.weight_bytes else "",
            f"{layer.scale[0]:.4g}" if layer.scale is not None else "",
            db_text(layer.sqnr_db) if layer.sqnr_db is not None else "",
            db_text(layer.alone_sqnr_db) if layer.alone_sqnr_db is not None else "",
        )
        for layer in report.layers
    ]
    columns = [Column("Layer"), Column("op"), Column("shape"), Column("type"), Column("MACs", True), Column("weights", True)]
    columns += [Column("scale", True), Column("SQNR", True), Column("alone", True)]
    found = table(columns, rows, css="scroll tall" if len(rows) > 16 else "scroll")
    return section("Layers", found, lead=f"{len(rows)} ops of the graph that was exported.")


def _named(layer: Layer) -> Html:
    """The layer with its lines in the source; the name of the value where that says more than the module does."""
    lines = dict.fromkeys(re.findall(r"[^ ();]+:\d+", layer.where))
    place = ", ".join(([layer.name] if layer.name != layer.label else []) + list(lines))
    return Html(element("span", layer.label, css="name") + (element("div", place, css="where") if place else ""))


def _dtype(layer: Layer) -> Html:
    weights = {0: "", 1: " per tensor"}.get(layer.weight_scales, " per channel")
    tag = element("span", layer.dtype, css="tag float" if layer.float_reason else "tag")
    return element("span", tag, weights, css="type")
