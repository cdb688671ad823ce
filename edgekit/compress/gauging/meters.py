"""What the harness says of a file: its bytes, instructions on an emulated core, or milliseconds where it is run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgekit.errors import UsageError


@dataclass(frozen=True)
class Reading:
    """One measurement of a candidate.

    Attributes:
        value: bytes, instructions per inference, or milliseconds.
        share: of what the network costs that the step was given.
        interval: of ``value``, 95 %; None for a count.
        by: the runtime that ran it; empty where nothing did.
        unstable: why it is not to be relied on; empty where it is.
    """

    value: float
    share: float
    interval: tuple[float, float] | None
    by: str
    unstable: tuple[str, ...] = ()


class Meter(Protocol):
    """Measures a file beside the one it is compared with."""

    def __call__(self, base: Path, candidate: Path) -> Reading:
        """The candidate's reading; the base's own where both are one file. Raises what the harness raises."""


class FileBytes:
    """Bytes of the file itself."""

    def __call__(self, base: Path, candidate: Path) -> Reading:
        """See ``Meter``."""
        value = candidate.stat().st_size
        return Reading(value, value / base.stat().st_size, None, "")


class Instructions:
    """Counts on an emulated ARM core: exact for TFLite, so each file is counted once."""

    def __init__(self, cpu: str) -> None:
        self._cpu = cpu
        self._counts: dict[Path, tuple[int, str]] = {}

    def __call__(self, base: Path, candidate: Path) -> Reading:
        """See ``Meter``."""
        whole, (value, runtime) = self._count(base)[0], self._count(candidate)
        return Reading(value, value / whole, None, runtime)

    def _count(self, path: Path) -> tuple[int, str]:
        from edgekit.bench.qemu import count

        if path not in self._counts:
            found = count(path, self._cpu)
            self._counts[path] = found.per_inference, found.runtime
        return self._counts[path]


class Latency:
    """Times both files in turn (A B A B ...), so that a drift of the machine meets both."""

    #: Launches of each file: fewer than `edgekit bench` makes, since several candidates are timed.
    LAUNCHES, AT_MOST = 10, 25
    #: Least seconds of timed calls of a launch.
    SECONDS = 0.5
    #: Seconds, launches and most launches of a reading that only tells what is far from a budget.
    GLANCE = (0.1, 2, 2)

    def __init__(self, on: str) -> None:
        self._on = on

    def __call__(self, base: Path, candidate: Path) -> Reading:
        """See ``Meter``."""
        return self._timed(base, candidate, self.SECONDS, self.LAUNCHES, self.AT_MOST)

    def glance(self, base: Path, candidate: Path) -> Reading:
        """Rough: from few launches."""
        return self._timed(base, candidate, *self.GLANCE)

    def _timed(self, base: Path, candidate: Path, seconds: float, launches: int, at_most: int) -> Reading:
        from edgekit.bench.execute import Arm
        from edgekit.bench.launch import Request
        from edgekit.bench.rounds import Stopping
        from edgekit.bench.session import measure
        from edgekit.bench.transport.choose import open_transport

        files: Sequence[Path] = (base,) if base == candidate else (base, candidate)
        python = sys.executable if self._on == "local" else "python3"
        request = Request(seconds=seconds)
        stopping = Stopping(launches=launches, at_most=at_most)
        with open_transport(self._on) as transport:
            session = measure(transport, [Arm(path) for path in files], request, stopping, python=python)
        result = session.results[-1]
        assert result.latency is not None  # a burst has one
        median, runtime = result.latency.median, dict(result.runtime)
        return Reading(
            value=median.value / 1e3,
            share=session.pairs[0].ratio.value if session.pairs else 1.0,
            interval=(median.low / 1e3, median.high / 1e3),
            by=f"{runtime['name']} {runtime['version']}, {runtime['machine']}",
            unstable=result.unstable,
        )


def meter(measure: str, on: str) -> Meter:
    """The meter of a measured budget.

    Args:
        measure: "bytes", "instructions" or "latency".
        on: as after ``edgekit bench --on``: ``qemu:CPU`` for instructions, ``local``, ``ssh://...`` or ``adb`` for a latency.

    Raises:
        UsageError: no such core.
    """
    if measure == "bytes":
        return FileBytes()
    if measure == "instructions":
        from edgekit.bench.qemu.cpu import cpu_named

        return Instructions(cpu_named(on.removeprefix("qemu").removeprefix(":") or "cortex-a53").name)
    if on.startswith("qemu"):
        raise UsageError("an emulator's times mean nothing", where=f"on = '{on}'", hint='on = "local", or instructions = 0.5')
    return Latency(on)
