"""An Android phone or watch over adb, through the ``adb`` program."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgekit.bench.transport.facts import DeviceFacts, DeviceState
from edgekit.bench.transport.guard import last_line
from edgekit.bench.transport.shell import ShellTransport, quote
from edgekit.errors import DeviceError


class AdbTransport(ShellTransport):
    """``adb`` (the only device there is) or ``adb:SERIAL``.

    ``adb``'s own environment variables (ANDROID_SERIAL, ANDROID_ADB_SERVER_PORT) act as usual. Files go to /data/local/tmp, the
    one place on every Android device where the shell user may write and execute.
    """

    _install = "apt install adb, or Android's platform-tools"

    def __init__(self, serial: str | None = None, *, folder: str | None = None, keep: bool = False) -> None:
        super().__init__(folder or "/data/local/tmp", keep=keep)
        self.name = f"adb:{serial}" if serial else "adb"
        self._adb = ["adb", "-s", serial] if serial else ["adb"]
        self._ready = False

    def probe(self) -> tuple[DeviceFacts, DeviceState]:
        """What the device is, and its state now."""
        self._check_state()
        return super().probe()

    def _connect(self, script: str, arguments: Sequence[str]) -> list[str]:
        # -T: no terminal, so bytes arrive as they are. exec-out is not used: it merges stderr into stdout.
        return [*self._adb, "shell", "-T", quote(script, arguments)]

    def _send(self, file: Path, remote: str) -> str:
        self._adb_command("push", str(file), remote)
        return self._digest(remote)

    def get(self, remote: str, file: Path) -> None:
        """Fetch a file."""
        self._adb_command("pull", remote, str(file))

    def _make_folder(self) -> None:
        self._check_state()
        super()._make_folder()

    def _digest(self, remote: str) -> str:
        self._check_state()
        return super()._digest(remote)

    def _check_state(self) -> None:
        """`adb connect` may say "already connected" while the device is offline: ask for its state."""
        if not self._ready:
            state = self._adb_command("get-state").strip()
            if state != "device":
                hint = "unlock it and allow debugging; over the network: adb disconnect, then adb connect HOST:PORT"
                raise DeviceError(f"adb says that the device is '{state}'", where=self.name, hint=hint)
            self._ready = True

    def _adb_command(self, *words: str) -> str:
        try:
            done = subprocess.run([*self._adb, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            raise DeviceError("the program 'adb' is not installed", where=self.name, hint=self._install) from None
        except subprocess.TimeoutExpired:
            raise DeviceError("adb does not answer", where=self.name, hint="adb kill-server, then try again") from None
        if done.returncode:
            raise self._failure(done.returncode, done.stderr or done.stdout)
        return done.stdout

    def _failure(self, code: int, stderr: str) -> DeviceError:
        said, low = last_line(stderr), stderr.lower()
        hints = {
            "no devices": "connect it and switch on USB or wireless debugging; `adb devices` must list it",
            "more than one": "several are connected: --on adb:SERIAL, with a serial of `adb devices`",
            "unauthorized": "unlock the device and allow debugging from this computer",
            "offline": "adb disconnect, then adb connect HOST:PORT; or plug it in again",
            "not found": "`adb devices` lists the serials that are connected",
        }
        hint = next((text for words, text in hints.items() if words in low and "adb: " in low + "adb: "), None)
        if hint and ("device" in low or "adb:" in low):
            return DeviceError(f"adb cannot reach the device: {said}", where=self.name, hint=hint)
        return super()._failure(code, stderr)
