"""Devices for the transports' tests: this machine, an sshd whose session is an ARM64 root, and adb in front of an ARM userland.

The last two need root, unshare, qemu's binfmt handler and the ARM64 userland of `edgekit bench --setup-qemu --userland`.
Everything listens on the loopback interface and lives in a mount namespace of its own, which ends with its process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.bench.qemu.cpu import CPUS
from edgekit.bench.qemu.toolbox import cache_folder
from edgekit.bench.qemu.userland import userland_folder
from edgekit.bench.transport.adb import AdbTransport
from edgekit.bench.transport.local import LocalTransport
from edgekit.bench.transport.shell import ShellTransport
from edgekit.bench.transport.ssh import SshTransport

HERE = Path(__file__).parent
BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass
class TestDevice:
    """A device under test: how to open it, its Python, a Python without packages, and a folder that is nearly full."""

    __test__ = False

    name: str
    connect: Callable[..., ShellTransport]
    python: str
    bare_python: str
    full_folder: str
    arm64: bool
    folders: str = "/tmp /data/local/tmp"

    def open(self, **options: object) -> ShellTransport:
        return self.connect(**options)

    def leftovers(self) -> list[str]:
        """Session folders that are still there."""
        with self.connect() as transport:
            script = 'for folder in $1; do ls -d "$folder"/edgekit-bench*; done 2>/dev/null; :'
            return transport._sh(script, self.folders).stdout.decode().split()


def running(word: str) -> list[str]:
    """Processes of this machine, emulated ones included, that have ``word`` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in command and int(path.parent.name) != os.getpid():
                found.append(command)
    return found


def gone_within(seconds: float, word: str) -> bool:
    """Whether no process with this word in its command line is left after at most so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not running(word):
            return True
        time.sleep(0.1)
    return not running(word)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def need(*programs: str) -> None:
    """Skip the test, naming what is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"the program {program} is not installed")


def need_userland() -> Path:
    """The ARM64 root folder; skips, naming what is missing."""
    need("unshare", "qemu-aarch64-static")
    if os.geteuid() != 0:
        pytest.skip("mounting the ARM64 userland needs root")
    if not BINFMT.joinpath("register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=False, capture_output=True)
    if not BINFMT.joinpath("qemu-aarch64").exists():
        need("update-binfmts")
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=False, capture_output=True)
    if not BINFMT.joinpath("qemu-aarch64").exists():
        pytest.skip("the binfmt handler of qemu-aarch64 is missing (apt install qemu-user-static binfmt-support)")
    if not userland_folder().is_dir():
        pytest.skip("the ARM64 userland is missing: edgekit bench --setup-qemu --userland")
    return userland_folder()


def enter(root: Path, folder: Path) -> list[str]:
    """The command prefix that gives a program on the host the ARM64 root, mounted and ready."""
    cpuinfo = folder / "cpuinfo"
    cpuinfo.write_text(CPUS["cortex-a53"].cpuinfo())
    return ["unshare", "--mount", str(HERE / "enter_arm64.sh"), str(root), str(cpuinfo)]


@contextlib.contextmanager
def started(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A daemon that listens on a port of the loopback interface, for as long as the block runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def local_device(folder: Path) -> TestDevice:
    bare = folder / "bare python"  # a space in the path: it must be quoted on its way
    bare.write_text(f'#!/bin/sh\nexec {sys._base_executable} -I -S "$@"\n')  # type: ignore[attr-defined]
    bare.chmod(0o755)

    def connect(**options: object) -> ShellTransport:
        return LocalTransport(**({"folder": str(folder)} | options))  # type: ignore[arg-type]

    return TestDevice("local", connect, sys.executable, str(bare), "", arm64=False, folders=str(folder))


@contextlib.contextmanager
def ssh_device(folder: Path) -> Iterator[TestDevice]:
    """An sshd of our own, whose sessions are in the ARM64 root."""
    need("sshd", "ssh", "ssh-keygen")
    root = need_userland()
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = free_port()
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    settings = (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/authorized",
        "PidFile none",
        "UsePAM no",
        "StrictModes no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "SetEnv QEMU_CPU=cortex-a53",  # the handler's own default has instructions that no watch has
        f"ChrootDirectory {root}",
    )
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    for name, key in (("config", "user"), ("stranger_config", "stranger")):
        (folder / name).write_text(
            f"Host *\n  IdentityFile {folder}/{key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n"
            "  StrictHostKeyChecking yes\n"
        )
    Path("/run/sshd").mkdir(exist_ok=True)
    address = f"ssh://root@127.0.0.1:{port}"

    def connect(**options: object) -> ShellTransport:
        return SshTransport(address, **({"config": str(folder / "config")} | options))  # type: ignore[arg-type]

    sshd = shutil.which("sshd")
    with started([*enter(root, folder), str(sshd), "-D", "-e", "-f", str(folder / "sshd_config")], port, folder / "sshd.log"):
        yield TestDevice("ssh", connect, "/usr/local/bin/python3", "/usr/local/bin/bare-python", "/full", arm64=True)


@contextlib.contextmanager
def adb_device(folder: Path) -> Iterator[TestDevice]:
    """The real adb client and server, with a stand-in for the daemon in front of the ARM64 root."""
    need("adb")
    root = need_userland()
    port, server = free_port(), free_port()
    environment = {"ANDROID_ADB_SERVER_PORT": str(server), "HOME": str(folder), "ADB_MDNS": "0"}
    environment["EDGEKIT_CACHE"] = str(cache_folder().parent)  # not to be looked for in adb's home
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)  # a server of our own: the user's is left alone
    serial = f"127.0.0.1:{port}"

    def connect(**options: object) -> ShellTransport:
        return AdbTransport(serial, **options)  # type: ignore[arg-type]

    shell = [
        "chroot",
        str(root),
        "/usr/bin/env",
        "-i",
        "QEMU_CPU=cortex-a53",
        "PATH=/system/bin:/usr/bin:/bin",
        "/system/bin/sh",
        "-c",
    ]
    daemon = [*enter(root, folder), sys.executable, str(HERE / "standin_adbd.py"), str(port), str(root), *shell]
    try:
        with started(daemon, port, folder / "adbd.log"):
            done = subprocess.run(["adb", "connect", serial], capture_output=True, text=True, timeout=60)
            assert "connected" in done.stdout, done.stdout + done.stderr
            for _ in range(100):
                state = subprocess.run(["adb", "-s", serial, "get-state"], capture_output=True, text=True, timeout=60)
                if state.stdout.strip() == "device":
                    break
                time.sleep(0.1)
            yield TestDevice("adb", connect, "/usr/bin/python3.11", "/usr/local/bin/bare-python", "/full", arm64=True)
            subprocess.run(["adb", "kill-server"], capture_output=True, timeout=60)
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
