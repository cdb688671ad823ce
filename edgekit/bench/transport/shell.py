"""The five verbs over anything that runs a shell command: local, ssh and adb differ only in how the command gets there."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from edgekit.bench.transport.base import Finished
from edgekit.bench.transport.facts import PROBE, DeviceFacts, DeviceState, parse_probe
from edgekit.bench.transport.guard import GUARD, last_line, supervise
from edgekit.errors import DeviceError

#: Prints the SHA-256 of ``$1``, or nothing. Where sha256sum and Python are missing (``none``) the file is read back.
_DIGEST = """
if [ -f "$1" ]; then
  { sha256sum "$1" || toybox sha256sum "$1" ||
    python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1" ||
    echo none; } 2>/dev/null | cut -c 1-64
fi
"""
_RECEIVE = 'cat > "$1.part" && mv "$1.part" "$1" || exit 1'
_MAKE = 'mkdir -p "$2" && chmod 700 "$2" || exit 1'
_TIMEOUT = 120.0


class ShellTransport(ABC):
    """Everything but the connection itself.

    Files live in one folder per session below ``base``, named by the hash of their content: no name of the user's reaches the
    device. ``keep`` uses a folder that stays, so that a second session finds them (and verifies them again).
    """

    name = ""

    def __init__(self, base: str, *, keep: bool = False) -> None:
        self._folder = f"{base}/edgekit-bench" if keep else f"{base}/edgekit-bench-{secrets.token_hex(6)}"
        self._keep = keep
        self._made = False

    @abstractmethod
    def _connect(self, script: str, arguments: Sequence[str]) -> list[str]:
        """The local command line that runs a POSIX shell script with arguments on the device."""

    def probe(self) -> tuple[DeviceFacts, DeviceState]:
        """What the device is, and its state now."""
        return parse_probe(self._sh(PROBE).stdout.decode(errors="replace"))

    def put(self, file: Path) -> str:
        """Bring a file there by content; see :class:`edgekit.bench.transport.base.Transport`."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        remote = f"{self._folder}/{digest[:24]}{_plain_suffix(file)}"
        if self._digest(remote) == digest:
            return remote
        try:
            arrived = self._send(file, remote)
        except DeviceError:
            self._remove(remote)
            raise
        if arrived != digest:
            self._remove(remote)
            raise DeviceError(
                f"the copy of '{file.name}' on the device differs from the original",
                where=f"{self.name}, {remote}",
                hint="free space on the device and try again",
            )
        return remote

    def run(self, command: Sequence[str], *, limit: float) -> Finished:
        """Run a program under the guard."""
        self._make_folder()
        arguments = [self._folder, str(max(int(limit), 2)), "yes" if self._keep else "no", *command]
        pipe = subprocess.PIPE
        # A session of its own: Ctrl-C reaches edgekit, which then ends the run in order, and not the connection under it.
        process = subprocess.Popen(
            self._connect(GUARD, arguments), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        finished = supervise(process, limit=limit, where=self.name)
        if finished.exit == 125:
            raise DeviceError(
                "cannot write to the device", where=f"{self.name}, {self._folder}", hint="free space on the device"
            )
        return finished

    def get(self, remote: str, file: Path) -> None:
        """Fetch a file."""
        file.write_bytes(self._sh('cat "$1"', remote).stdout)

    def clean_up(self) -> None:
        """Remove the session's folder; a device that has gone is not an error here."""
        if self._made and not self._keep:
            with contextlib.suppress(DeviceError):
                self._sh('rm -rf "$1"', self._folder)
            self._made = False

    def __enter__(self) -> ShellTransport:
        return self

    def __exit__(self, *exception: object) -> None:
        self.clean_up()

    def _send(self, file: Path, remote: str) -> str:
        """Copy a file there and return the SHA-256 that the device reads back."""
        return self._read_digest(self._sh(_RECEIVE + _DIGEST, remote, data=file.read_bytes()), remote)

    def _make_folder(self) -> None:
        if not self._made:
            self._made = True  # before the attempt: half a folder is removed too
            self._sh(_MAKE, "", self._folder)

    def _digest(self, remote: str) -> str:
        """The SHA-256 of a file there, empty where there is none; makes the session's folder on the way."""
        make, self._made = "" if self._made else _MAKE, True
        return self._read_digest(self._sh(make + _DIGEST, remote, self._folder), remote)

    def _read_digest(self, done: subprocess.CompletedProcess[bytes], remote: str) -> str:
        answer = done.stdout.decode(errors="replace").strip()
        if answer == "none":
            return hashlib.sha256(self._sh('cat "$1"', remote).stdout).hexdigest()
        return answer

    def _remove(self, remote: str) -> None:
        with contextlib.suppress(DeviceError):
            self._sh('rm -f "$1" "$1.part"', remote)

    def _sh(self, script: str, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a short script to its end; DeviceError where it or the connection fails."""
        try:
            done = subprocess.run(
                self._connect(script, arguments), input=data, capture_output=True, timeout=_TIMEOUT, start_new_session=True
            )
        except subprocess.TimeoutExpired:
            raise DeviceError("the device does not answer", where=self.name, hint="is it on, awake and reachable?") from None
        except FileNotFoundError as error:
            raise DeviceError(f"the program '{error.filename}' is not installed", where=self.name, hint=self._install) from None
        if done.returncode:
            raise self._failure(done.returncode, done.stderr.decode(errors="replace"))
        return done

    _install = "install it with the system's package manager; `edgekit doctor` shows what is missing"

    def _failure(self, code: int, stderr: str) -> DeviceError:
        """The error for a command that failed; transports add what their own programs' messages mean."""
        low = stderr.lower()
        if "no space left" in low or "disk quota" in low:
            return DeviceError(
                "the device is full", where=f"{self.name}, {self._folder}", hint="free space, or --folder ELSEWHERE"
            )
        if "read-only file system" in low or "permission denied" in low or "can't create" in low:
            what = f"cannot write to the device: {last_line(stderr)}"
            return DeviceError(
                what, where=f"{self.name}, {self._folder}", hint="--folder PATH names a folder that can be written"
            )
        return DeviceError(f"a command failed on the device (exit {code}): {last_line(stderr)}", where=self.name)


def quote(script: str, arguments: Sequence[str]) -> str:
    """One line for a remote shell that runs ``script`` with ``arguments`` under ``sh``, every word quoted."""
    return "exec sh -c " + " ".join(shlex.quote(word) for word in (script, "sh", *arguments))


def _plain_suffix(file: Path) -> str:
    """The file's suffix where it is a plain word: runtimes go by it."""
    return file.suffix if file.suffix[1:].isalnum() and file.suffix.isascii() else ""
