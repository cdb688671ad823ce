"""The report on a terminal: one screen a target, and one line a target where there are several."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.report import sensitivity_table
from edgekit.report.exit_sections import cost_text, exits_text, file_text, measured
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
)
from edgekit.report.page import headline
from edgekit.report.quantization_sections import precisions_text
from edgekit.report.step_sections import change_text, control_rows, name_of
from edgekit.report.stream_section import stream_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STATUS = {
    "good": "[green]verified[/green]",
    "over_budget": "[yellow]over budget[/yellow]",
    "below_floor": "[red]below the floor, nothing written[/red]",
}


#: What the steps declined: so many are named.
_DECLINED = 6

#: Width where there is no terminal: nothing is cut off in a file or a pipe.
_WIDE = 200


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, wide where there is none; no colours there, nor with NO_COLOR.

    A reader that goes away early (``| head -1``) ends nothing: what is left to print goes nowhere.
    """
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    console = Output(highlight=False)
    return console if console.is_terminal else Output(highlight=False, width=_WIDE)


def print_report(report: Report, console: Console | None = None, *, folder: str = "", warnings: bool = True) -> None:
    """One target: the artifact, how it compares, the user's metrics, the budget and the warnings.

    Args:
        report: what to show.
        console: where to; standard output by default (colours only on a terminal, none with NO_COLOR).
        folder: of the artifact, shown before its name.
        warnings: whether to show them too.
    """
    from rich.markup import escape

    console = console or stdout_console()
    status = _STATUS[report.status] if report.verification or report.status != "good" else "[yellow]not verified[/yellow]"
    console.print(f"[bold]{escape(report.source.name)}[/bold] → {escape(report.target)}  {status}")
    if (artifact := report.artifact) is not None:
        saved = factor_text(report.source_graph.weight_bytes, artifact.bytes)
        path = f"{folder.rstrip('/')}/{artifact.path}" if folder else artifact.path
        console.print(f"  {escape(path)}  {bytes_text(artifact.bytes)}{f' ({saved})' if saved else ''}", soft_wrap=True)
        ops = f"{sum(artifact.operators.values())} ops: {operators_text(dict(artifact.operators))}"
        console.print(f"  [dim]{escape(ops)} · {count_text(report.graph.macs)} MACs[/dim]", soft_wrap=True)
        if report.streaming is not None:
            console.print(f"  [dim]{stream_text(report.streaming)}[/dim]", soft_wrap=True)
        if runtimes := dict.fromkeys(f"{row.runtime} {row.version}" for row in report.verification):
            console.print(f"  [dim]run in {escape(', '.join(runtimes))}[/dim]", soft_wrap=True)
    alone = sensitivity_table.fill(_table(*sensitivity_table.columns_of(report)), report)
    for table in (_steps(report), _controls(report), _verification(report), _evaluation(report), alone, _budget(report)):
        if table.row_count:
            console.print()
            console.print(table)
    _print_said(report, console)
    if report.quantization is not None and (found := report.quantization.precisions) is not None:
        console.print(f"\n  [dim]{escape(precisions_text(found))}[/dim]", soft_wrap=True)
    floats = [layer for layer in report.layers if layer.float_reason]
    if floats:
        reasons = dict.fromkeys(f"{layer.op.split()[0]}: {layer.float_reason}" for layer in floats)
        count = f"{len(floats)} op stays" if len(floats) == 1 else f"{len(floats)} ops stay"
        console.print(f"\n  [dim]{count} float ({escape('; '.join(reasons))})[/dim]", soft_wrap=True)
    lines = [f"  [yellow]![/yellow] {escape(warning)}" for warning in report.warnings if warnings]
    if lines:
        console.print("\n" + "\n".join(lines), soft_wrap=True)
    if report.timings:
        console.print(f"\n  [dim]{seconds_text(sum(report.timings.values()))}[/dim]")


def _print_said(report: Report, console: Console) -> None:
    """What the recipe's steps left alone, and what they have to say."""
    from rich.markup import escape

    if left := [f"{name} ({reason})" for record in report.history for name, reason in record["declined"].items()]:
        more = f"; and {len(left) - _DECLINED} more: report.html" if len(left) > _DECLINED else ""
        console.print(f"\n  [dim]left alone: {escape('; '.join(left[:_DECLINED]) + more)}[/dim]", soft_wrap=True)
    for record in report.history:
        if (exits := measured(record)) is not None:
            lines = [f"{exits_text(exits[1])} {cost_text(exits[1])}", *file_text(record)]
            console.print("\n  " + escape("\n  ".join(lines)), soft_wrap=True, highlight=False)
    if told := [f"{name_of(record)}: {line}" for record in report.history for line in record.get("notes", ())]:
        console.print("\n" + "\n".join(f"  [dim]{escape(line)}[/dim]" for line in told), soft_wrap=True)


def print_summary(reports: Sequence[Report], console: Console | None = None) -> None:
    """One line a target, what the model that they were built from scores, and the recipe's steps, which they share."""
    console = console or stdout_console()
    console.print(summary_table(reports))
    sources = (row for report in reports for row in report.evaluation[:1] if row.source is not None)
    if (row := next(sources, None)) is not None:
        console.print(f"\n  [dim]source: {row.metric} {metric_text(row.source)}[/dim]")
    if (common := next((report for report in reports if report.history), None)) is not None:
        for table in (_steps(common), _controls(common)):
            if table.row_count:
                console.print()
                console.print(table)
        _print_said(common, console)


def summary_table(reports: Sequence[Report]) -> Table:
    """Target, size, ops, cost, how close it is to the source, the first metric, and the status."""
    table = _table("target", "size", "ops", "MACs", "SQNR", "same top-1", _first_metric(reports), "")
    table.columns[-1].min_width = max(len(status) for status in ("verified", "over budget", "not verified"))
    table.columns[-1].no_wrap = False
    for report in reports:
        row, artifact = headline(report), report.artifact
        table.add_row(
            f"  {report.target}",
            "–" if artifact is None else bytes_text(artifact.bytes),
            "–" if artifact is None else str(sum(artifact.operators.values())),
            count_text(report.graph.macs),
            "–" if row is None else db_text(row.sqnr_db),
            "–" if row is None else percent_text(row.top1_agreement),
            metric_text(report.evaluation[0].artifact) if report.evaluation else "–",
            _STATUS[report.status] if row is not None or report.status != "good" else "not verified",
        )
    return table


def _first_metric(reports: Sequence[Report]) -> str:
    return next((report.evaluation[0].metric for report in reports if report.evaluation), "metric")


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(f"  {first}", no_wrap=True)
    for name in others:
        text = name in ("", "run by", "kernels")
        table.add_column(name, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    return table


def _verification(report: Report) -> Table:
    from rich.markup import escape

    runtimes = {row.runtime for row in report.verification}
    table = _table("against", "run by" if len(runtimes) > 1 else "kernels", "samples", "SQNR", "max error", "agreement", "")
    for row in report.verification:
        table.add_row(
            f"  {row.against}",
            escape(row.runtime if len(runtimes) > 1 else row.kernels),
            str(row.samples),
            db_text(row.sqnr_db),
            error_text(row.max_abs_error),
            percent_text(row.top1_agreement),
            _floor(row),
        )
    return table


def _floor(row: Verification) -> str:
    floors = [f"{row.floor_db:g} dB"] if row.floor_db is not None else []
    floors += [percent_text(row.floor_agreement, 1)] if row.floor_agreement is not None else []
    if not floors:
        return ""
    return f"[green]≥ {', '.join(floors)}[/green]" if row.passed else f"[red]< {', '.join(floors)}[/red]"


def _steps(report: Report) -> Table:
    from rich.markup import escape

    table = _table("step", "MACs", "parameters", "metric", "time")
    for record in report.history:
        name, (before, after) = next(iter(record["metrics"].items()), ("", (None, None)))
        table.add_row(
            f"  {escape(name_of(record))}",
            change_text(record, "macs", count_text),
            change_text(record, "parameters", count_text),
            f"{escape(name)} {metric_text(before)} → {metric_text(after)}" if name else "–",
            seconds_text(record["seconds"]),
        )
    return table


def _controls(report: Report) -> Table:
    from rich.markup import escape

    table = _table("pruned", "epochs", "metrics", "held out")
    for record in report.history:
        for name, epochs, metrics, validation in control_rows(record):
            table.add_row(f"  {escape(name)}", epochs, escape(metrics) or "–", escape(validation) or "–")
    return table


def _evaluation(report: Report) -> Table:
    from rich.markup import escape

    table = _table("metric", "source", "graph", "artifact")
    for row in report.evaluation:
        table.add_row(f"  {escape(row.metric)}", metric_text(row.source), metric_text(row.graph), metric_text(row.artifact))
    return table


def _budget(report: Report) -> Table:
    from rich.markup import escape

    table = _table("limit", "is", "may be", "")
    for check in report.budget:
        word = {True: "[green]kept[/green]", False: "[red]exceeded[/red]", None: "[dim]not measured[/dim]"}
        table.add_row(
            f"  {escape(check.name.replace('_', ' '))} ({check.origin})",
            "–" if check.value is None else limit_text(check.name, check.value),
            limit_text(check.name, check.limit),
            word[check.passed],
        )
    return table
