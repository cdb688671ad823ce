"""What counting needs on this machine, and how it gets there.

Debian's ``qemu-user`` (its ``-static`` sibling takes no plugins), a cross compiler with its C++ library, and the shared library
of the runtime's aarch64 wheel. Nothing is downloaded unless :func:`set_up` is called; what is built lies in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.bench.qemu.cpu import Cpu
from edgekit.errors import DeviceError

#: The runtime version whose C interface the runner was tested with; others are tried when asked for.
TESTED_LITERT = "2.3.0"
TESTED_ORT = "1.31.1"
SYSROOT = Path("/usr/aarch64-linux-gnu")
_SOURCES = Path(__file__).parent
_HINT = "edgekit bench --setup-qemu"
_ONNX_HINT = "edgekit bench --setup-qemu --runtime onnxruntime"


@dataclass(frozen=True)
class Tool:
    """Something that must be there: how to see it, and the Debian package that brings it."""

    what: str
    package: str
    present: Callable[[], bool]


TOOLS = (
    Tool("qemu-aarch64", "qemu-user", lambda: shutil.which("qemu-aarch64") is not None),
    Tool("cc", "gcc", lambda: shutil.which("cc") is not None),
    Tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", lambda: shutil.which("aarch64-linux-gnu-gcc") is not None),
    Tool("the C library for aarch64", "libc6-dev-arm64-cross", lambda: (SYSROOT / "lib/libc.so.6").exists()),
    Tool("the C++ library for aarch64", "libstdc++6-arm64-cross", lambda: (SYSROOT / "lib/libstdc++.so.6").exists()),
)


@dataclass(frozen=True)
class Library:
    """A runtime's shared library for aarch64: distribution on PyPI, version, and where it lies in the wheel."""

    distribution: str
    version: str
    member: str

    @property
    def path(self) -> Path:
        """Where it lies once :func:`set_up` has fetched it."""
        return cache_folder() / f"{self.distribution}-{self.version}" / Path(self.member).name


def litert_library() -> Library:
    """LiteRT's library, of EDGEKIT_QEMU_LITERT or the tested version."""
    return Library("ai-edge-litert", os.environ.get("EDGEKIT_QEMU_LITERT", TESTED_LITERT), "ai_edge_litert/libLiteRt.so")


def ort_library() -> Library:
    """ONNX Runtime's library, of the tested version."""
    return Library("onnxruntime", TESTED_ORT, f"onnxruntime/capi/libonnxruntime.so.{TESTED_ORT}")


def cache_folder() -> Path:
    """The folder for what is downloaded and built: EDGEKIT_CACHE, else ~/.cache/edgekit."""
    return Path(os.environ.get("EDGEKIT_CACHE") or Path.home() / ".cache" / "edgekit") / "qemu"


def missing(libraries: Sequence[Library] | None = None) -> list[str]:
    """What counting lacks on this machine, in words; empty where it works."""
    tools = [f"{tool.what} (apt install {tool.package})" for tool in TOOLS if not tool.present()]
    wanted = (litert_library(),) if libraries is None else libraries
    return tools + [
        f"{Path(library.member).name} of {library.distribution} {library.version} for aarch64"
        for library in wanted
        if not library.path.is_file()
    ]


def require(library: Library) -> None:
    """Raise DeviceError that lists what is missing."""
    absent = missing([library])
    if absent:
        hint = _ONNX_HINT if library.distribution == "onnxruntime" else _HINT
        raise DeviceError("counting instructions is not set up here: missing " + ", ".join(absent), hint=hint)


def set_up(say: Callable[[str], None] = lambda line: None, *, onnx: bool = False, userland: bool = False) -> None:
    """Bring everything that is missing: Debian packages (as root), the aarch64 wheel (from PyPI), the two small programs.

    Args:
        say: told each step as one line.
        onnx: also fetch ONNX Runtime's library, for .onnx files.
        userland: also a Python for ARM64, for models that the runtime's C interface does not load.

    Raises:
        DeviceError: something is missing and cannot be brought from here; it lists what and how.
    """
    packages = [tool.package for tool in TOOLS if not tool.present()]
    if packages:
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            hint = f"as root, on Debian or Ubuntu: {' '.join(command)}"
            raise DeviceError(f"counting instructions needs {', '.join(packages)}", hint=hint)
        say("installing " + ", ".join(packages))
        run_tool(["apt-get", "update", "-q"], "Debian's package lists cannot be read")
        run_tool(command, "the packages cannot be installed")
    for library in (litert_library(), ort_library()) if onnx else (litert_library(),):
        if not library.path.is_file():
            say(f"fetching {library.distribution} {library.version} for aarch64")
            _fetch(library)
    say(f"compiling into {cache_folder()}")
    plugin()
    program("litert_runner")
    if onnx:
        program("ort_runner")
    if userland:
        from edgekit.bench.qemu.userland import set_up_userland

        set_up_userland(say)
    say("ready: edgekit bench MODEL --on qemu:cortex-a53")


def plugin() -> Path:
    """The instruction-counting plugin, compiled for this machine when its source changed."""
    return _compiled("insn_plugin", ".so", ["cc", "-shared", "-fPIC"])


def program(name: str) -> Path:
    """A runner for aarch64, compiled when its source changed."""
    return _compiled(name, "", ["aarch64-linux-gnu-gcc"])


def root_for(cpu: Cpu) -> Path:
    """A root folder whose /proc/cpuinfo and CPU lists show four of these cores, and whose /lib is the cross compiler's."""
    root = cache_folder() / "roots" / cpu.name
    cpus = root / "sys/devices/system/cpu"
    if not (root / "lib").exists():
        cpus.mkdir(parents=True, exist_ok=True)
        (root / "proc").mkdir(exist_ok=True)
        for name in ("possible", "present"):
            (cpus / name).write_text("0-3\n")
        (root / "proc/cpuinfo").write_text(cpu.cpuinfo())
        try:
            (root / "lib").symlink_to(SYSROOT / "lib")
        except FileExistsError:  # another process has just made it
            return root
    return root


def _compiled(name: str, suffix: str, compiler: list[str]) -> Path:
    source = _SOURCES / f"{name}.c"
    target = cache_folder() / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}{suffix}"
    if not target.exists():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            built = Path(folder) / target.name
            run_tool([*compiler, "-std=gnu11", "-O2", "-o", str(built), str(source)], f"{source.name} does not compile")
            built.rename(target)  # at once: other processes see all of it or nothing
    return target


def _fetch(library: Library) -> None:
    """Download the aarch64 wheel and unpack the one file of it that is needed."""
    library.path.parent.mkdir(parents=True, exist_ok=True)
    tags = [word for tag in ("2_28", "2_27", "2_17", "2014") for word in ("--platform", f"manylinux{_dashed(tag)}_aarch64")]
    with tempfile.TemporaryDirectory(dir=library.path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *tags]
        command += ["--python-version", "3.11", "--implementation", "cp", "-d", folder]
        what = f"{library.distribution} {library.version} for aarch64 cannot be fetched"
        run_tool([*command, f"{library.distribution}=={library.version}"], what)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            unpacked = Path(wheel.extract(library.member, folder))
        unpacked.rename(library.path)


def _dashed(tag: str) -> str:
    return tag if tag == "2014" else f"_{tag}"


def run_tool(command: list[str], failure: str) -> None:
    """Run a program to its end; DeviceError that starts with ``failure`` where it is missing or fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    except FileNotFoundError:
        raise DeviceError(f"{failure}: '{command[0]}' is not installed", hint=_HINT) from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise DeviceError(failure, where=" ".join(command[:6]), hint=" | ".join(last) or None)
