"""A device over ssh, through the user's own ``ssh`` program: keys, agents, jump hosts and aliases work as they do by hand."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from edgekit.bench.transport.guard import last_line
from edgekit.bench.transport.shell import ShellTransport, quote
from edgekit.errors import DeviceError, UsageError


class SshTransport(ShellTransport):
    """``ssh://[user@]host[:port]``. No password is ever asked for: a benchmark runs unattended.

    Args:
        address: the URL.
        config: an ssh configuration file to use instead of the user's own.
        folder: where to put files there.
        keep: leave them there.
    """

    _install = "apt install openssh-client (Debian), or the system's own OpenSSH"

    def __init__(self, address: str, *, config: str | None = None, folder: str | None = None, keep: bool = False) -> None:
        super().__init__(folder or "/tmp", keep=keep)
        self.name = address
        self._config = config
        self._destination, self._port = _split(address)

    def _connect(self, script: str, arguments: Sequence[str]) -> list[str]:
        options = ["BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=1", "ServerAliveCountMax=4", "LogLevel=ERROR"]
        words = ["ssh", "-T", *(part for option in options for part in ("-o", option))]
        words += ["-F", self._config] if self._config else []
        words += ["-p", str(self._port)] if self._port else []
        return [*words, "--", self._destination, quote(script, arguments)]

    def _failure(self, code: int, stderr: str) -> DeviceError:
        if code != 255:  # 255 is ssh's own
            return super()._failure(code, stderr)
        low, said = stderr.lower(), last_line(stderr)
        if "permission denied" in low:
            hint = (
                f"put your key there: ssh-copy-id {self._destination}; `ssh {self._destination} true` must not ask for anything"
            )
        elif "host key verification" in low:
            hint = f"connect once by hand and check the key's fingerprint: ssh {self._destination}"
        else:
            hint = "check host name, port and network: the same words work as `ssh " + self._destination + "`"
        return DeviceError(f"ssh cannot reach the device: {said}", where=self.name, hint=hint)


def _split(address: str) -> tuple[str, int | None]:
    """Destination and port of an ssh URL; UsageError for what is not one."""
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise UsageError(f"not an ssh address: '{address}' ({error})", hint="ssh://user@host or ssh://user@host:2222") from None
    if url.scheme != "ssh" or not host or url.path.strip("/") or host.startswith("-") or (url.username or "").startswith("-"):
        raise UsageError(f"not an ssh address: '{address}'", hint="ssh://user@host or ssh://user@host:2222")
    return (f"{url.username}@{host}" if url.username else host), port
