"""What all tests share: where real data is, when a skip is a failure, and the time that a run may take."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

#: Seconds on two cores that each tier of tests may take.
BUDGETS = {"default": 8 * 60, "slow": 30 * 60, "nightly": 90 * 60}

_A_TOOL_IS_MISSING = re.compile(
    r"not installed|not found|missing|no such (program|tool|command)|is absent|needs? ", re.IGNORECASE
)


def data_folder() -> Path:
    """The folder of real data sets and models: EDGEKIT_DATA, by default ../shared/data beside the repository."""
    return Path(os.environ.get("EDGEKIT_DATA") or REPOSITORY.parent / "shared" / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip("EDGEKIT_DATA names no folder of real data")
    return folder


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With EDGEKIT_NO_SKIP=1 (CI) a skip for want of a program or package is a failure: nothing was tested."""
    if report.skipped and os.environ.get("EDGEKIT_NO_SKIP") == "1" and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2])
        if "EDGEKIT_DATA" not in reason and _A_TOOL_IS_MISSING.search(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason}\n(EDGEKIT_NO_SKIP=1: install what is missing, see .ci/run)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip(report)  # a whole file that skips itself
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_STARTED] = time.monotonic()


_STARTED = pytest.StashKey[float]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much of the tier's time budget was used."""
    tier = config.getoption("markexpr")
    tier = tier if tier in BUDGETS else "default"
    used = time.monotonic() - config.stash[_STARTED]
    terminalreporter.write_line(f"time: {used:.0f} s of the {BUDGETS[tier]} s that the {tier} tests may take on two cores")
