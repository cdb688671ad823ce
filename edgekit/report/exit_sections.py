"""Early exits on the page: who leaves where, what a sample costs, and top-1 against mean cost for all thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edgekit.report.markup import Column, Html, element, section, table
from edgekit.report.model import StageFile
from edgekit.report.numbers import count_text, metric_text

_WIDTH, _HEIGHT = 960.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 20.0, 16.0, 34.0


def exit_section(history: Sequence[Mapping[str, Any]]) -> Html:
    """A table and a curve for every step that added exits; nothing where none did."""
    parts: list[Html] = []
    for record in history:
        found = measured(record)
        if found is None:
            continue
        on, summary = found
        columns = [Column("Exit"), Column("MACs", True), Column("of all", True), Column("leave here", True)]
        columns += [Column("top-1 alone", True), Column("top-1 of those", True), Column("threshold", True)]
        parts += [
            table(columns, exit_rows(record, summary)),
            element("p", f"{cost_text(summary)} On {summary['samples']:,} samples of {on}."),
            *(element("p", text) for text in file_text(record)),
            Html(
                curve(
                    record["details"].get("curve", []),
                    "top-1 against mean cost, for thresholds of many goals; the ring is what was chosen",
                    chosen={"mean_cost": summary["cost"]["mean"], "top1": summary["top1"]},
                )
            ),
        ]
    return section(
        "Early exits",
        *parts,
        lead="A sample leaves at the first exit that is sure enough: what it costs depends on the sample.",
    )


def stage_section(stages: Sequence[StageFile]) -> Html:
    """The files of a network that was written stage by stage; nothing where it was not."""
    if not stages:
        return Html("")
    total = sum(stage.answered for stage in stages)
    columns = [Column("File"), Column("bytes", True), Column("MACs", True), Column("answers", True)]
    rows = [
        [stage.path, count_text(stage.bytes), count_text(stage.macs), percent(stage.answered / max(total, 1))]
        for stage in stages
    ]
    if arenas := [stage.arena_bytes for stage in stages if stage.arena_bytes is not None]:
        columns.append(Column("arena bytes", True))
        rows = [[*row, count_text(arena)] for row, arena in zip(rows, arenas, strict=True)]
    return section(
        "Staged files",
        table(columns, rows),
        lead="The same network as one file a stage, for a host that schedules by itself; the loop lies beside the files in "
        f"Python, C++, Kotlin and Swift. It was run on {total:,} samples beside the one file.",
    )


def measured(record: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """What exits came to on the evaluation data, else on what was held out, and which of the two."""
    details = record.get("details", {})
    if record.get("step") != "early_exit":
        return None
    for key, on in (("evaluation", "the evaluation data"), ("held_out", "the held out training data")):
        if key in details:
            return on, details[key]
    return None


def exit_rows(record: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row an exit, the last one's at the end."""
    thresholds = {row["name"]: row.get("threshold") for row in record["details"].get("held_out", {}).get("exits", [])}
    rows: list[tuple[str, ...]] = []
    for row in summary["exits"]:
        of_those, threshold = row["top1_of_those"], thresholds.get(row["name"])
        rows.append(
            (
                str(row["name"]),
                count_text(row["macs"]),
                percent(row["share"]),
                percent(row["rate"]),
                metric_text(row["top1_alone"]),
                "–" if of_those is None else metric_text(of_those),
                "–" if threshold is None else f"{threshold:.3f}",
            )
        )
    return rows


def cost_text(summary: Mapping[str, Any]) -> str:
    """``Top-1 0.9123, 0.9135 without exits. A sample costs 43.1 % ...``"""
    cost = summary["cost"]
    return (
        f"Top-1 {metric_text(summary['top1'])}, {metric_text(summary['top1_of_last'])} without exits. A sample costs "
        f"{percent(cost['mean'])} of the whole network's MACs in the mean, {percent(cost['p90'])} at the 90th percentile and "
        f"{percent(cost['worst'])} at worst."
    )


def exits_text(summary: Mapping[str, Any]) -> str:
    """``Of the samples 61.2 % leave at 'relu_1' (top-1 0.9710), 38.8 % at the end (0.8312).``"""
    parts: list[str] = []
    for row in summary["exits"]:
        place = "at the end" if row is summary["exits"][-1] else f"at '{row['name']}'"
        verb = " leave" if not parts else ""
        score = metric_text(row["top1_of_those"])
        parts.append(f"{percent(row['rate'])}{verb} {place} ({'top-1 ' if not parts else ''}{score})")
    return f"Of the samples {', '.join(parts)}."


def file_text(record: Mapping[str, Any]) -> list[str]:
    """One line on what the file does on its own, where it was run: its numbers are not the graph's."""
    found = record.get("details", {}).get("file")
    if found is None:
        return []
    top1 = "" if found["top1"] is None else f", top-1 {metric_text(found['top1'])}"
    cost = found["cost"]
    return [
        f"In the file itself, {found['samples']:,} samples{top1}: {exits_text(found)} A sample costs "
        f"{percent(cost['mean'])} in the mean, {percent(cost['p90'])} at the 90th percentile and "
        f"{percent(cost['worst'])} at worst."
    ]


def percent(share: float) -> str:
    """``43.1 %``"""
    return f"{100 * share:.1f} %"


def curve(
    points: Sequence[Mapping[str, float]],
    title: str,
    metric: str = "top-1",
    further: Sequence[Mapping[str, float]] = (),
    chosen: Mapping[str, float] | None = None,
) -> str:
    """A metric ("top1" of every point) against mean cost, and a second line of the same; nothing for a single point.

    A ring is drawn around the ``chosen`` point.
    """
    if len(points) < 2:
        return ""
    rings = [] if chosen is None else [chosen]
    lines = [("line", "c1", points), ("line2", "c2", further)]
    xs, ys = zip(*((p["mean_cost"], p["top1"]) for p in (*points, *further, *rings)), strict=True)
    low, high = min(ys), max(max(ys), min(ys) + 1e-3)
    right = max(*xs, 1.0)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right
        return across, _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / (high - low)

    out = []
    for line, dot, shown in lines:
        spots = [(*place(p["mean_cost"], p["top1"]), p) for p in shown]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
        out += [f'<polyline class="{line}" fill="none" points="{path}"/>'] if len(spots) > 1 else []
        for x, y, p in spots:
            tip = f"{metric} {p['top1']:.4f} at {percent(p['mean_cost'])} of the MACs"
            out.append(f'<circle class="{dot}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(tip)}</title></circle>')
    for x, y, p in ((*place(p["mean_cost"], p["top1"]), p) for p in rings):
        tip = f"chosen: {metric} {p['top1']:.4f} at {percent(p['mean_cost'])} of the MACs"
        out.append(f'<circle class="line" fill="none" cx="{x:.1f}" cy="{y:.1f}" r="7"><title>{escape(tip)}</title></circle>')
    out += [f'<text class="soft" x="0" y="{place(0, value)[1] + 4:.0f}">{value:.3f}</text>' for value in (low, high)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = place(share, low)[0]
        out.append(f'<text class="soft" x="{x - 12:.0f}" y="{_HEIGHT - 12:.0f}">{100 * share:.0f} %</text>')
    title = escape(title)
    head = f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{title}"><title>{title}</title>'
    return "".join([head, *out, "</svg>"])
