"""A stand-in for Android's adb daemon, for the unmodified ``adb`` client: ``standin_adbd.py PORT ROOT [PREFIX...]``.

Speaks the ADB wire protocol 0x01000001 over TCP without authentication, and these services: ``shell,v2`` (exit codes, separate
stderr), ``exec`` (merged streams) and ``sync`` (STAT, SEND, RECV). Commands run as PREFIX + [command], paths are below ROOT.
Protocol: Android's packages/modules/adb, protocol.txt and SYNC.TXT.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

HEADER = struct.Struct("<6I")
VERSION, MAX_DATA = 0x01000001, 256 * 1024
BANNER = b"device::ro.product.name=standin;ro.product.model=Standin;ro.product.device=standin;features=shell_v2"
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
CLOSE_STDIN = 3  # in this direction 3 closes stdin, in the other it carries the exit code


def tag(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


class Connection:
    """One adb server's connection: packets in, streams by number."""

    def __init__(self, sock: socket.socket, root: Path, prefix: list[str]) -> None:
        self.sock, self.root, self.prefix = sock, root, prefix
        self.lock = threading.Lock()
        self.streams: dict[int, Stream] = {}
        self.opened = 0

    def send(self, command: str, local: int, remote: int, data: bytes = b"") -> None:
        number = tag(command)
        with self.lock, contextlib.suppress(OSError):
            self.sock.sendall(HEADER.pack(number, local, remote, len(data), 0, number ^ 0xFFFFFFFF) + data)

    def serve(self) -> None:
        try:
            while True:
                self.handle(*self.receive())
        except (EOFError, OSError):
            pass
        finally:
            for stream in list(self.streams.values()):
                stream.hang_up()

    def receive(self) -> tuple[int, int, int, bytes]:
        command, first, second, length, _, _ = HEADER.unpack(self.exactly(HEADER.size))
        return command, first, second, self.exactly(length)

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def handle(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == tag("CNXN"):
            self.send("CNXN", VERSION, MAX_DATA, BANNER)
        elif command == tag("OPEN"):
            number = self.opened = self.opened + 1  # never again: the client's CLSE may come after the next OPEN
            stream = self.streams[number] = Stream(self, number, first, data.rstrip(b"\0").decode())
            threading.Thread(target=stream.run, daemon=True).start()
        elif stream := self.streams.get(second):
            if command == tag("WRTE"):
                stream.incoming.put(data)
                self.send("OKAY", second, first)
            elif command == tag("OKAY"):
                stream.ready.release()
            elif command == tag("CLSE"):
                self.streams.pop(second, None)
                stream.hang_up()


class Stream:
    """One service that the client opened."""

    def __init__(self, connection: Connection, number: int, peer: int, service: str) -> None:
        self.connection, self.number, self.peer, self.service = connection, number, peer, service
        self.incoming: queue.Queue[bytes | None] = queue.Queue()
        self.ready = threading.Semaphore(0)
        self.closed = False
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Send, waiting for the client's OKAY after each packet."""
        for at in range(0, len(data), MAX_DATA // 2):
            if self.closed:
                return
            self.connection.send("WRTE", self.number, self.peer, data[at : at + MAX_DATA // 2])
            self.ready.acquire()

    def hang_up(self) -> None:
        """The client has closed the stream, or the connection has gone. Android closes stdin and sends SIGHUP."""
        self.closed = True
        self.incoming.put(None)
        self.ready.release()
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGHUP)

    def run(self) -> None:
        self.connection.send("OKAY", self.number, self.peer)
        name, _, argument = self.service.partition(":")
        try:
            if name.startswith("shell") or name == "exec":
                self.shell(argument, framed="v2" in name.split(","))
            elif name == "sync":
                Sync(self).run()
        finally:
            self.connection.streams.pop(self.number, None)
            if not self.closed:
                self.connection.send("CLSE", self.number, self.peer)

    def shell(self, command: str, *, framed: bool) -> None:
        pipe = subprocess.PIPE
        process = self.process = subprocess.Popen(
            [*self.connection.prefix, command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe if framed else subprocess.STDOUT,
            start_new_session=True,
        )
        lock = threading.Lock()

        def pump(descriptor: int, kind: int) -> None:
            while data := os.read(descriptor, 65536):
                with lock:
                    self.write(struct.pack("<BI", kind, len(data)) + data if framed else data)

        assert process.stdin and process.stdout
        pumps = [threading.Thread(target=pump, args=(process.stdout.fileno(), STDOUT), daemon=True)]
        if process.stderr:
            pumps.append(threading.Thread(target=pump, args=(process.stderr.fileno(), STDERR), daemon=True))
        threading.Thread(target=self.feed, args=(process, framed), daemon=True).start()
        for thread in pumps:
            thread.start()
        for thread in pumps:
            thread.join()
        code = process.wait()
        if framed:
            self.write(struct.pack("<BIB", EXIT, 1, (code if code >= 0 else 128 - code) & 255))

    def feed(self, process: subprocess.Popen[bytes], framed: bool) -> None:
        """The client's bytes become the program's stdin."""
        assert process.stdin
        with contextlib.suppress(OSError):
            for kind, data in self.packets() if framed else ((STDIN, part) for part in iter(self.incoming.get, None)):
                if kind == CLOSE_STDIN:
                    break
                if kind == STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
            process.stdin.close()

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """Frames of the shell protocol: a kind, a length, the data."""
        buffer = b""
        while (part := self.incoming.get()) is not None:
            buffer += part
            while len(buffer) >= 5:
                kind, length = struct.unpack("<BI", buffer[:5])
                if len(buffer) < 5 + length:
                    break
                yield kind, buffer[5 : 5 + length]
                buffer = buffer[5 + length :]


class Sync:
    """The file service: push and pull."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.buffer = b""

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            part = self.stream.incoming.get()
            if part is None:
                raise EOFError
            self.buffer += part
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def path(self, name: str) -> Path:
        return self.stream.connection.root / os.path.normpath("/" + name).lstrip("/")

    def run(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                command, length = struct.unpack("<4sI", self.exactly(8))
                if command == b"QUIT":
                    return
                name = self.exactly(length).decode()
                {b"STAT": self.stat, b"SEND": self.receive, b"RECV": self.send}[command](name)

    def stat(self, name: str) -> None:
        try:
            found = self.path(name).lstat()
            self.stream.write(struct.pack("<4s3I", b"STAT", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)))
        except OSError:
            self.stream.write(struct.pack("<4s3I", b"STAT", 0, 0, 0))

    def receive(self, name: str) -> None:
        target, _, mode = name.rpartition(",")
        path, failure = self.path(target), ""
        chunks = []
        while True:
            command, length = struct.unpack("<4sI", self.exactly(8))
            if command == b"DONE":
                break
            chunks.append(self.exactly(length))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(chunks))
            path.chmod(int(mode) & 0o777)
        except OSError as error:
            failure = f"couldn't write: {error.strerror}"
        answer = b"FAIL" if failure else b"OKAY"
        self.stream.write(struct.pack("<4sI", answer, len(failure)) + failure.encode())

    def send(self, name: str) -> None:
        try:
            content = self.path(name).read_bytes()
        except OSError as error:
            said = str(error.strerror).encode()
            self.stream.write(struct.pack("<4sI", b"FAIL", len(said)) + said)
            return
        for at in range(0, len(content), 65536):
            part = content[at : at + 65536]
            self.stream.write(struct.pack("<4sI", b"DATA", len(part)) + part)
        self.stream.write(struct.pack("<4sI", b"DONE", 0))


def main(port: int, root: Path, prefix: list[str]) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(8)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(sock, root, prefix).serve, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
