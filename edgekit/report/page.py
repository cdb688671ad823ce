"""The report as one self-contained page: no scripts, no fonts, nothing to load; light, dark and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

from edgekit.report.exit_sections import exit_section, stage_section
from edgekit.report.layer_sections import bytes_section, error_section, layer_section
from edgekit.report.markup import Column, Html, details, element, figure, section, table, text
from edgekit.report.model import Report, Verification
from edgekit.report.numbers import (
    bytes_text,
    count_text,
    db_text,
    error_text,
    factor_text,
    limit_text,
    metric_text,
    operators_text,
    percent_text,
    seconds_text,
    shape_text,
)
from edgekit.report.quantization_sections import quantization_section
from edgekit.report.slimmable_section import slimmable_section
from edgekit.report.snippets.feeding import raw_values
from edgekit.report.step_sections import step_section
from edgekit.report.stream_section import stream_section

_STATUS = {"good": ("Verified", "good"), "over_budget": ("Over budget", "warn"), "below_floor": ("Below the floor", "bad")}


def to_html(report: Report) -> str:
    """The page of one build."""
    parts = [
        _header(report),
        _figures(report),
        _warnings(report),
        _accuracy(report),
        error_section(report),
        quantization_section(report),
        bytes_section(report),
        _budget(report),
        stream_section(report.streaming),
        _feeding(report),
        layer_section(report),
        step_section(report),
        exit_section(report.history),
        slimmable_section(report.history),
        stage_section(report.stages),
        _passes(report),
        section("The graph", Html(f'<div class="drawing">{report.drawing}</div>') if report.drawing else ""),
        _facts(report),
    ]
    template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    title = text(f"{report.source.name} · {report.target} · edgekit")
    return template.substitute(title=title, body="\n".join(filter(None, parts)))


def headline(report: Report) -> Verification | None:
    """The verification that matters most: against the source, with the kernels that an app gets."""
    order = {"source": 0, "graph": 1, "simulation": 2, "windows": 3}
    rows = sorted(report.verification, key=lambda row: (order[row.against], row.kernels != "default"))
    return rows[0] if rows else None


def _header(report: Report) -> Html:
    word, css = _STATUS[report.status]
    status = word if report.verification or report.status != "good" else "Not verified"
    css = css if report.verification or report.status != "good" else "warn"
    model = report.source.model + (f" with weights {report.source.weights}" if report.source.weights else "")
    device = f" · device {report.device}" if report.device else ""
    title = Html(f"{text(report.source.name)} {element('span', '→ ' + report.target)}")
    return element(
        "header",
        element("h1", title),
        element("span", status, css=f"status {css}"),
        element("p", f"Built from {model}{device} · edgekit {report.tools.get('edgekit', '')}"),
    )


def _figures(report: Report) -> Html:
    boxes: list[Html] = []
    if (artifact := report.artifact) is not None:
        saved = factor_text(report.source_graph.weight_bytes, artifact.bytes)
        note = f"{saved} than the source's weights" if saved else f"{artifact.bytes:,} bytes"
        boxes.append(figure("Size", bytes_text(artifact.bytes), note))
    if (row := headline(report)) is not None:
        floor = f"floor {row.floor_db:g} dB" if row.floor_db is not None else f"{row.samples} samples"
        boxes.append(figure(f"SQNR against the {row.against}", db_text(row.sqnr_db), floor, "" if row.passed else "bad"))
        if row.top1_agreement is not None:
            boxes.append(figure("Same top-1", percent_text(row.top1_agreement), f"on {row.samples} samples"))
    for line in report.evaluation[:1]:
        change = f"source {metric_text(line.source)}" if line.source is not None else ""
        boxes.append(figure(line.metric, metric_text(line.artifact), change))
    before, after = report.source_graph.macs, report.graph.macs
    note = factor_text(before, after).replace("smaller", "fewer") or f"{count_text(report.graph.parameters)} parameters"
    boxes.append(figure("Multiply-accumulates", count_text(after), note))
    peak = report.artifact.peak_memory_bytes if report.artifact else report.graph.peak_memory_bytes
    if peak is not None:
        arena = report.artifact.arena_bytes if report.artifact else None
        note = f"arena {bytes_text(arena)}" if arena else "activations alive at once"
        boxes.append(figure("Peak memory", bytes_text(peak), note))
    return element("div", *boxes, css="figures")


def _warnings(report: Report) -> Html:
    def listed(lines: Sequence[str], css: str) -> Html:
        return element("ul", *(element("li", line) for line in lines), css=css) if lines else Html("")

    return Html(listed(report.warnings, "notes warn-box") + listed(report.source.notes, "notes"))


def _accuracy(report: Report) -> Html:
    measured = table(
        [Column("Metric"), Column("source", True), Column("graph", True), Column("artifact", True), Column("change", True)],
        [
            (
                element("span", row.metric, css="name"),
                metric_text(row.source),
                metric_text(row.graph),
                metric_text(row.artifact),
                f"{row.artifact - row.source:+.4f}" if row.artifact is not None and row.source is not None else "–",
            )
            for row in report.evaluation
        ],
    )
    compared = table(
        [
            Column("Compared with"),
            Column("run by"),
            Column("samples", True),
            Column("SQNR", True),
            Column("largest error", True),
            Column("same top-1", True),
            Column("equal integers", True),
            Column("floor", True),
            Column(""),
        ],
        [
            (
                element("span", f"the {row.against}", css="name"),
                f"{row.runtime} {row.version}, {row.kernels} kernels",
                f"{row.samples:,}",
                db_text(row.sqnr_db),
                error_text(row.max_abs_error),
                percent_text(row.top1_agreement),
                percent_text(row.equal_integers),
                _floor(row),
                element("span", "met" if row.passed else "missed", css="good" if row.passed else "bad")
                if row.floor_db is not None or row.floor_agreement is not None
                else "",
            )
            for row in report.verification
        ],
    )
    lead = "The artifact was loaded and run in its own runtime; its outputs are compared with what they should be."
    return section("Accuracy", measured, compared, lead=lead if report.verification else "")


def _floor(row: Verification) -> str:
    floors = [f"{row.floor_db:g} dB"] if row.floor_db is not None else []
    floors += [percent_text(row.floor_agreement, 1)] if row.floor_agreement is not None else []
    return ", ".join(floors)


def _budget(report: Report) -> Html:
    rows = []
    for check in report.budget:
        word, css = {True: ("kept", "good"), False: ("exceeded", "bad"), None: ("not measured", "soft")}[check.passed]
        rows.append(
            (
                element("span", check.name.replace("_", " "), css="name"),
                check.origin,
                "–" if check.value is None else limit_text(check.name, check.value),
                limit_text(check.name, check.limit),
                percent_text(check.value / check.limit, 0) if check.value is not None and check.limit else "–",
                element("span", word, css=css),
                check.note,
            )
        )
    columns = [Column("Limit"), Column("set by"), Column("is", True), Column("may be", True), Column("used", True)]
    return section("Budget", table([*columns, Column(""), Column("note")], rows))


def _feeding(report: Report) -> Html:
    if report.io is None:
        return Html("")
    rows = [
        (
            element("span", tensor.name, css="name"),
            side,
            tensor.dtype,
            shape_text(tensor.shape),
            "channels last" if tensor.layout == "channels_last" else "as in the source",
            f"{tensor.scale:.6g}" if tensor.scale is not None else "",
            str(tensor.zero_point) if tensor.scale is not None else "",
            "" if tensor.preprocessing is None else raw_values(tensor),
        )
        for side, tensors in (("input", report.io.inputs), ("output", report.io.outputs))
        for tensor in tensors
    ]
    columns = [Column("Tensor"), Column(""), Column("type"), Column("shape"), Column("order of axes")]
    columns += [Column("scale", True), Column("zero point", True), Column("preprocessing in the file")]
    names = {"python": "Python, with numpy and the runtime alone", "kotlin": "Kotlin, for Android and Wear OS"}
    code = [
        details(names.get(language, language), element("pre", element("code", snippet)))
        for language, snippet in report.io.snippets.items()
    ]
    labels = element("p", f"Labels: {', '.join(report.io.labels)}") if report.io.labels else ""
    lead = "What the file takes and gives, and complete code that feeds it."
    return section("In the app", table(columns, rows), labels, *code, lead=lead)


def _passes(report: Report) -> Html:
    rows = [(element("span", p.name.replace("_", " "), css="name"), p.rewrites, len(p.declined) or "") for p in report.passes]
    declined = [
        (p.name.replace("_", " "), d.name, Html(f"{text(d.reason)} {element('div', d.where, css='where')}"))
        for p in report.passes
        for d in p.declined
    ]
    reasons = details(
        f"Where a pass declined, and why ({len(declined)})",
        table([Column("Pass"), Column("value"), Column("reason")], declined),
    )
    done = table([Column("Pass"), Column("changes", True), Column("declined", True)], rows, css="scroll narrow")
    lead = "Rewrites that keep the function: proved by comparing outputs."
    return section("Exact passes", done, reasons if declined else "", lead=lead)


def _facts(report: Report) -> Html:
    model = Html(f"{text(f'{report.source.model} ({report.source.format})')} {_hash(report.source.sha256)}")
    rows: list[tuple[object, object]] = [("Model", model)]
    if report.source.weights:
        rows.append(("Weights", Html(f"{text(report.source.weights)} {_hash(report.source.weights_sha256)}")))
    if (artifact := report.artifact) is not None:
        rows.append(("Artifact", Html(f"{text(artifact.path)} {_hash(artifact.sha256)}")))
        rows.append(("Ops", f"{sum(artifact.operators.values())}: {operators_text(dict(artifact.operators), 99)}"))
    rows += [("Tools", ", ".join(f"{name} {version}" for name, version in report.tools.items()))]
    if report.config:
        rows.append(("Options", "; ".join(f"{key} = {value}" for key, value in report.config.items())))
    if report.timings:
        times = ", ".join(f"{name} {seconds_text(seconds)}" for name, seconds in report.timings.items())
        rows.append(("Time", f"{seconds_text(sum(report.timings.values()))}: {times}"))
    facts = table([Column(""), Column("")], [(element("span", k, css="soft"), v) for k, v in rows])
    return element("footer", Html(facts.replace("<thead><tr><th></th><th></th></tr></thead>", "")))


def _hash(sha256: str | None) -> Html:
    return element("code", sha256) if sha256 else Html("")
