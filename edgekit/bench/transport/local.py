"""This machine as a device."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

from edgekit.bench.transport.shell import ShellTransport


class LocalTransport(ShellTransport):
    """Runs in a shell of this machine, under the same guard and with the same copies as on a remote device."""

    name = "local"

    def __init__(self, *, folder: str | None = None, keep: bool = False) -> None:
        super().__init__(folder or tempfile.gettempdir(), keep=keep)

    def _connect(self, script: str, arguments: Sequence[str]) -> list[str]:
        return ["/bin/sh", "-c", script, "sh", *arguments]
