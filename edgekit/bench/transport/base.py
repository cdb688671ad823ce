"""The five verbs of a device: probe, put, run, get, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgekit.bench.transport.facts import DeviceFacts, DeviceState


@dataclass(frozen=True)
class Finished:
    """A program that ended on the device: its exit code and what it printed."""

    exit: int
    stdout: str
    stderr: str


class Transport(Protocol):
    """A device, as far as a benchmark needs one. Use it as a context manager: leaving it cleans up.

    Every verb raises :class:`edgekit.errors.DeviceError` where the device or the way to it fails.
    """

    #: How the user wrote it: ``local``, ``ssh://pi@raspberrypi.local``, ``adb:SERIAL``.
    name: str

    def probe(self) -> tuple[DeviceFacts, DeviceState]:
        """What the device is, and its state now (governor, frequencies, temperatures, battery)."""

    def put(self, file: Path) -> str:
        """Bring a file there and return its path there. Sent unless the same SHA-256 is there; then verified."""

    def run(self, command: Sequence[str], *, limit: float) -> Finished:
        """Run a program there to its end, at most ``limit`` seconds; it does not outlive this process by more than 5 s."""

    def get(self, remote: str, file: Path) -> None:
        """Fetch a file from there."""

    def clean_up(self) -> None:
        """Remove everything that was put there. Safe to call twice."""

    def __enter__(self) -> Transport: ...

    def __exit__(self, *exception: object) -> None: ...
