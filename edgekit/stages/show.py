"""What a build says: progress on a terminal's stderr, and in the end a table or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.config import BuildRequest
from edgekit.errors import EdgekitError
from edgekit.stages.builds import Build, summary, summary_of_folder
from edgekit.target import Target


def teller() -> Callable[[str], None]:
    """Says stages on stderr where that is a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda text: None

    def say(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text} ...")
        sys.stderr.flush()

    return say


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")


def show_up_to_date(request: BuildRequest) -> None:
    """One line, or the recorded summary as JSON."""
    if request.json:
        names = [Target.load(name).name for name in request.targets]
        sys.stdout.write(json.dumps(summary_of_folder(request.output, names), indent=2) + "\n")
    else:
        sys.stdout.write(f"up to date: {request.output}\n")


def _short(path: Path) -> str:
    """Relative to the current folder where it is in there."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def show_builds(request: BuildRequest, builds: Sequence[Build]) -> None:
    """The table of targets and every error; or one JSON document and nothing else on stdout."""
    _clear()
    if request.json:
        sys.stdout.write(json.dumps(summary(builds), indent=2) + "\n")
    else:
        from edgekit.report.terminal import print_report, print_summary

        reports = [b.report for b in builds if b.report is not None]
        folder = _short(request.output)
        if len(reports) == 1:
            print_report(reports[0], folder=f"{folder}/{reports[0].target}", warnings=False)  # they go to stderr, below
        elif reports:
            print_summary(reports)
            sys.stdout.write(f"\n  artifacts and reports: {folder}\n")
    for note in dict.fromkeys(note for b in builds if b.report is not None for note in b.report.source.notes):
        sys.stderr.write(f"note: {note}\n")  # those of the source are every target's
    common = _common_warnings(builds)
    for warning in common:
        sys.stderr.write(f"warning: {warning}\n")
    for built in builds:
        of_target = f"{built.target}: " if len(builds) > 1 else ""
        if isinstance(built.error, EdgekitError):
            sys.stderr.write(f"error: {of_target}{built.error}\n")
        for warning in built.report.warnings if built.report else ():
            if warning not in common:
                sys.stderr.write(f"warning: {of_target}{warning}\n")


def _common_warnings(builds: Sequence[Build]) -> list[str]:
    """What several reports warn of alike (the recipe's steps, above all), in order: it is said once."""
    reports = [built.report for built in builds if built.report is not None]
    if len(reports) < 2:
        return []
    return [text for text in dict.fromkeys(reports[0].warnings) if all(text in report.warnings for report in reports[1:])]
