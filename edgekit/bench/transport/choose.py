"""From the words after ``--on`` to a transport."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.bench.transport.adb import AdbTransport
from edgekit.bench.transport.local import LocalTransport
from edgekit.bench.transport.shell import ShellTransport
from edgekit.bench.transport.ssh import SshTransport
from edgekit.errors import UsageError


@dataclass(frozen=True)
class TransportOptions:
    """What a user may say about the way to a device: ssh's configuration file, the folder there, and whether files stay."""

    ssh_config: str | None = None
    folder: str | None = None
    keep: bool = False


def open_transport(address: str, options: TransportOptions = TransportOptions()) -> ShellTransport:
    """The transport for ``local``, ``ssh://user@host[:port]``, ``adb`` or ``adb:SERIAL``; UsageError for anything else."""
    kind, _, rest = address.partition(":")
    if address == "local":
        return LocalTransport(folder=options.folder, keep=options.keep)
    if kind == "ssh":
        return SshTransport(address, config=options.ssh_config, folder=options.folder, keep=options.keep)
    if kind == "adb" and not rest.startswith("-"):
        return AdbTransport(rest or None, folder=options.folder, keep=options.keep)
    raise UsageError(f"unknown device '{address}'", hint="local, ssh://user@host[:port], adb, adb:SERIAL, or qemu[:cortex-a53]")
