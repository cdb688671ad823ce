"""Runs that end on the device by themselves: a shell script that stands between the connection and the program.

Killing the ssh or adb client leaves the remote program running. So the host sends a line every half second on the program's
guard's stdin, and the guard kills the program when that stdin closes, when no line came for 2 to 4 seconds (a cut cable closes
nothing), or when the time is up. Then it also removes the session's folder, because nobody will come back for it.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from typing import IO

from edgekit.bench.transport.base import Finished
from edgekit.errors import DeviceError

#: ``sh GUARD folder limit keep command...``. The exit code travels in-band: ssh's own 255 and adb before Android 7 hide it.
#: Redirections matter: a background process that kept stdout open would keep the connection open. The trap lets ``gone`` finish
#: although the main shell, whose wait ends with the program, sends its helpers TERM. The program leads a process group where
#: the device has setsid, so that what it starts itself (a wrapper script's Python) ends with it.
GUARD = r"""
folder=$1 limit=$2 keep=$3; shift 3
beat=$folder/beat.$$; : > "$beat" || { echo "EDGEKIT_EXIT 125" >&2; exit 125; }
leader=; for tool in setsid "toybox setsid"; do $tool true </dev/null >/dev/null 2>&1 && leader=$tool && break; done
$leader "$@" </dev/null 3<&- & job=$!
exec 3<&0
stop() { kill -9 -$job || kill -9 $job; }
gone() { trap '' TERM; stop; [ "$keep" = yes ] || rm -rf "$folder"; }
( while read -r _ <&3; do : > "$beat"; done; gone ) >/dev/null 2>&1 & reader=$!
( spent=0
  while [ -e "$beat" ] && [ $spent -lt $limit ]; do rm -f "$beat"; sleep 2; spent=$((spent + 2)); done
  if [ $spent -ge $limit ]; then stop; else gone; fi ) >/dev/null 2>&1 3<&- & sleeper=$!
wait $job; code=$?
[ -n "$leader" ] && kill -9 -$job 2>/dev/null
kill $reader $sleeper 2>/dev/null
rm -f "$beat"
echo "EDGEKIT_EXIT $code" >&2
"""

_BEAT_SECONDS = 0.5
_EXIT = "EDGEKIT_EXIT "


def supervise(process: subprocess.Popen[bytes], *, limit: float, where: str) -> Finished:
    """Feed a guard's heartbeat until it ends, and return what its program printed.

    Args:
        process: a connection (or shell) that runs :data:`GUARD`, all three streams piped.
        limit: seconds; the guard keeps them too, and is given a little longer to say so.
        where: the device, for errors.

    Raises:
        DeviceError: the connection failed, or the program was ended because its time was up.
    """
    out, err = _Drain(process.stdout), _Drain(process.stderr)
    deadline = time.monotonic() + limit + 15
    try:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # the guard has just ended: the next poll sees it
                if process.stdin:
                    process.stdin.write(b"\n")
                    process.stdin.flush()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_BEAT_SECONDS)
    finally:
        end(process)
    stdout, stderr = out.text(), err.text()
    code = next((line[len(_EXIT) :] for line in reversed(stderr.splitlines()) if line.startswith(_EXIT)), "")
    stderr = "\n".join(line for line in stderr.splitlines() if not line.startswith(_EXIT))
    if not code.strip().isdigit():
        raise DeviceError(
            f"the connection broke: {last_line(stderr)}", where=where, hint="is the device on, awake and reachable?"
        )
    return Finished(int(code), stdout, stderr)


def end(process: subprocess.Popen[bytes]) -> None:
    """Close a guard's heartbeat and reap the connection; the guard ends the program on the device."""
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(text: str) -> str:
    """The last line that says something, or that nothing was said."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


class _Drain:
    """Reads a stream to its end in a thread, so that the program never waits for its reader."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._content = bytearray()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes] | None) -> None:
        if stream is not None:
            with contextlib.suppress(ValueError, OSError), stream:
                while chunk := stream.read(65536):
                    self._content += chunk

    def text(self) -> str:
        """What was read; waits a little for the end of the stream."""
        self._thread.join(3)
        return self._content.decode(errors="replace").replace("\r\n", "\n")
