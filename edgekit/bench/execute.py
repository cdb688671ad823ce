"""Launches on a device: the runner is put there once, then run once per launch under the transport's guard."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.bench.headline import full_speed
from edgekit.bench.launch import Launch, Request, read_launch
from edgekit.bench.transport.base import Transport
from edgekit.errors import DeviceError, InputError


@dataclass(frozen=True)
class Arm:
    """One artifact to measure, with the user's input and golden output files."""

    artifact: Path
    input: Path | None = None
    golden: Path | None = None


class RunnerExecutor:
    """Runs ``runner.py`` on a transport.

    Args:
        transport: the device.
        arms: the artifacts.
        request: what each launch does.
        python: the interpreter to use there.

    Raises:
        InputError: an artifact cannot be read here.
        DeviceError: the device or the way to it failed.
    """

    def __init__(self, transport: Transport, arms: Sequence[Arm], request: Request, python: str) -> None:
        self._transport, self._request, self._python = transport, request, python
        for arm in arms:
            for file in (arm.artifact, arm.input, arm.golden):
                if file is not None and not file.is_file():
                    raise InputError(f"no file '{file}'", where="the command line", hint="check the path")
        self._digests = [hashlib.sha256(arm.artifact.read_bytes()).hexdigest() for arm in arms]
        self._names = [str(arm.artifact) for arm in arms]
        self._runner = transport.put(Path(__file__).with_name("runner.py"))
        self._commands = [self._command(arm) for arm in arms]
        self._watched: list[Launch] = []

    def launch(self, arm: int) -> Launch:
        """One launch; errors are the runner's (see :func:`edgekit.bench.launch.read_launch`) or the transport's."""
        limit = self._request.limit_seconds()
        command = [*self._commands[arm], "--limit", f"{limit:g}"]
        command += ["--watch", f"{full_speed(self._watched):.3f}"] if self._request.watch else []
        finished = self._transport.run(command, limit=limit)
        where = f"{self._names[arm]}, on {self._transport.name}"
        launch = read_launch(finished.stdout, finished.stderr, finished.exit, where=where)
        if launch.model_sha256 != self._digests[arm]:
            hint = "nothing else may write there while a benchmark runs"
            raise DeviceError("the device measured another file than it was given", where=where, hint=hint)
        self._watched.append(launch)
        return launch

    def _command(self, arm: Arm) -> list[str]:
        command = [self._python, self._runner, self._transport.put(arm.artifact), *self._request.arguments()]
        if arm.input:
            command += ["--input", self._transport.put(arm.input)]
        if arm.golden:
            command += ["--golden", self._transport.put(arm.golden)]
        return command
