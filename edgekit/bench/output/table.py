"""A session for people at a terminal; also the rows that Markdown shares with it."""

from __future__ import annotations

from rich.console import Console

from edgekit.bench.budget import Verdict
from edgekit.bench.headline import Calls
from edgekit.bench.measurement import Measurement
from edgekit.bench.output.words import check_line, exits_line, finding_line, interval, micros, pair_line, paths_line, size
from edgekit.bench.session import Session

_MODE = {"burst": "latency", "paced": "latency, paced", "cold": "cold start", "soak": "latency, soak"}
_STYLE = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.NOT_MEASURABLE: "yellow"}


def rows_of(session: Session) -> tuple[list[str], list[list[str]]]:
    """Header and one row per artifact; columns that no artifact fills are left out."""
    header = ["model", _MODE[session.request.mode], "95 %", "all calls", "p90", "p99", "first", "memory", "peak"]
    header += ["size", "instructions"]
    rows = [_row(result) for result in session.results]
    used = [i for i in range(len(header)) if i == 0 or any(row[i] != "-" for row in rows)]
    return [header[i] for i in used], [[row[i] for i in used] for row in rows]


def lines_of(session: Session) -> list[tuple[str, str]]:
    """Everything below the table as (style, line)."""
    lines = [("", pair_line(pair)) for pair in session.pairs]
    counted = sorted({f"{r.count.cpu} with {r.count.runtime}" for r in session.results if r.count})
    lines += [("", f"instructions: per inference on an emulated {key}; a cost and not a time") for key in counted]
    lines += [("", paths_line(r.artifact.name, r.count)) for r in session.results if r.count and r.count.paths]
    lines += [
        ("", exits_line(r.artifact.name, r.exits)) for r in session.results if r.exits and (r.exits.samples or not r.count)
    ]
    for result in session.results:
        lines += [(_STYLE[check.verdict], f"{result.artifact.name} {check_line(check)}") for check in result.checks]
    for finding in session.comparison.findings if session.comparison else ():
        lines.append(("bold red" if finding.change.value == "slower" else "", finding_line(finding)))
    for result in session.results:
        name = result.artifact.name
        lines += [("yellow", f"unstable: {name}: {reason}") for reason in result.unstable]
        lines += [("yellow", f"warning: {name}: {warning}") for warning in result.warnings]
        if result.soak:
            lines.append(("", f"{name}: last third of the soak / first third = {result.soak.ratio:.3f}"))
        if result.golden:
            told = "equal" if result.golden.equal else f"{result.golden.mismatches} values differ"
            lines.append(("", f"{name}: golden outputs: {told} (largest difference {result.golden.max_abs_difference:g})"))
    lines += [("yellow", f"warning: {warning}") for warning in session.warnings]
    return lines


def title_of(session: Session) -> str:
    """Where and how it was measured, in one line."""
    what = [session.on]
    if session.facts:
        what.append(session.facts.model or session.facts.cpu)
    runtimes = {f"{dict(r.runtime)['name']} {dict(r.runtime)['version']}" for r in session.results if r.runtime}
    launches = {result.latency.launches for result in session.results if result.latency}
    what += sorted(runtimes) + [f"{n} launch{'es' if n > 1 else ''}" for n in launches]
    return ", ".join(word for word in what if word)


def print_table(session: Session, console: Console) -> None:
    """The whole session on a console."""
    console.print(title_of(session), markup=False, highlight=False, soft_wrap=True)
    for line in _aligned(*rows_of(session)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for style, line in lines_of(session):
        console.print(line, style=style or None, markup=False, highlight=False, soft_wrap=True)


def _aligned(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines with the first column to the left and the others to the right; never folded, so that they can be cut and sorted."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)).rstrip()
        for row in (header, *rows)
    ]


def _row(result: Measurement) -> list[str]:
    latency, memory = result.latency, result.memory
    watched = latency is not None and latency.headline.calls is Calls.UNDISTURBED
    return [
        result.artifact.name,
        micros(latency.median.value) if latency else "-",
        interval(latency.median) if latency and latency.launches > 1 else "-",
        micros(latency.p50) if latency and watched else "-",
        micros(latency.p90) if latency else "-",
        micros(latency.p99) if latency else "-",
        micros(result.first_us),
        size(memory.model * 1024) if memory and memory.model is not None else "-",
        size(memory.peak * 1024) if memory and memory.peak is not None else "-",
        size(result.bytes),
        f"{result.count.per_inference:,}" if result.count else "-",
    ]
