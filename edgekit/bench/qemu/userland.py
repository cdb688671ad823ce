"""A Debian for ARM64 in a folder, with Python and LiteRT: for models that the runtime's C interface does not load.

Made by mmdebstrap (Debian packages, nothing configured, nothing run) and pip (aarch64 wheels from PyPI), in a minute and
300 MB; nothing in it is ever executed but under emulation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgekit.bench.qemu.cpu import Cpu
from edgekit.bench.qemu.toolbox import TESTED_LITERT, cache_folder, run_tool
from edgekit.errors import DeviceError

SUITE = "bookworm"
PYTHON = "3.11"
PACKAGES = "python3-minimal,python3.11,libstdc++6,libgomp1,bash,dash,coreutils,grep,sed,mksh,toybox"
WHEELS = ("numpy==2.4.6", "flatbuffers", "backports.strenum", "ml_dtypes", "protobuf", "typing-extensions", "tqdm", "packaging")
_TAGS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def userland_folder() -> Path:
    """Where the root folder is, or would be."""
    return cache_folder() / f"userland-{SUITE}-litert-{TESTED_LITERT}"


def site_packages(root: Path) -> Path:
    """Where Python looks for packages in that root."""
    return root / f"usr/local/lib/python{PYTHON}/dist-packages"


def set_up_userland(say: Callable[[str], None] = lambda line: None) -> Path:
    """Make the root folder where it is missing, and return it.

    Raises:
        DeviceError: mmdebstrap is missing, or something cannot be fetched.
    """
    root = userland_folder()
    if root.is_dir():
        return root
    if shutil.which("mmdebstrap") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise DeviceError(
                "a Python for ARM64 needs mmdebstrap", hint="as root, on Debian or Ubuntu: apt-get install mmdebstrap"
            )
        say("installing mmdebstrap")
        run_tool(["apt-get", "install", "-y", "-q", "--no-install-recommends", "mmdebstrap"], "mmdebstrap cannot be installed")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        made = Path(folder) / "root"
        say(f"unpacking Debian {SUITE} for ARM64")
        mode = "root" if os.geteuid() == 0 else "unshare"
        command = ["mmdebstrap", "--quiet", "--architectures=arm64", "--variant=extract", f"--mode={mode}"]
        run_tool([*command, f"--include={PACKAGES}", SUITE, str(made)], "Debian for ARM64 cannot be unpacked")
        say("fetching numpy and LiteRT for ARM64")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--no-compile"]
        pip += [word for tag in _TAGS for word in ("--platform", tag)]
        pip += ["--python-version", PYTHON, "--implementation", "cp", "--target", str(site_packages(made))]
        run_tool([*pip, f"ai-edge-litert=={TESTED_LITERT}", *WHEELS], "the wheels for ARM64 cannot be fetched")
        made.chmod(0o755)
        made.rename(root)
    return root


def python_root_for(cpu: Cpu) -> Path:
    """A root folder that shows four of these cores and otherwise the userland.

    Raises:
        DeviceError: there is no userland.
    """
    userland = userland_folder()
    if not userland.is_dir():
        hint = "edgekit bench --setup-qemu --userland"
        raise DeviceError("counting this model needs a Python for ARM64, which is not set up here", hint=hint)
    root = cache_folder() / "roots" / f"{cpu.name}-userland"
    if not (root / "lib").exists():
        cpus = root / "sys/devices/system/cpu"
        cpus.mkdir(parents=True, exist_ok=True)
        (root / "proc").mkdir(exist_ok=True)
        for name in ("possible", "present"):
            (cpus / name).write_text("0-3\n")
        (root / "proc/cpuinfo").write_text(cpu.cpuinfo())
        for name in ("usr", "etc", "lib"):
            try:
                (root / name).symlink_to(userland / name)
            except FileExistsError:  # another process has just made it
                continue
    return root


def python_command(cpu: Cpu) -> list[str]:
    """The emulated interpreter, for use after ``qemu-aarch64 [options]``."""
    root = python_root_for(cpu)
    return ["-L", str(root), "-E", "PYTHONHASHSEED=0", str(root / f"usr/bin/python{PYTHON}"), "-B"]


def run_python(cpu: Cpu, arguments: list[str], *, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the emulated interpreter without counting."""
    command = ["qemu-aarch64", "-cpu", cpu.name, *python_command(cpu), *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
