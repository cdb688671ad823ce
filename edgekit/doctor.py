"""What is installed here, and what each missing thing disables. Nothing is imported or started but ``--version`` calls."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import edgekit
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Need:
    """Something that edgekit can use.

    Attributes:
        name: of the package (distribution) or program.
        kind: a Python package, found by its metadata, a program on the PATH, or an environment that a variable names.
        enables: what is not possible without it.
        remedy: how it is installed.
        alternatives: other names of the same thing; the first that is found counts.
        version_option: how the program is asked for its version.
    """

    name: str
    kind: Literal["package", "program", "environment"]
    enables: str
    remedy: str
    alternatives: tuple[str, ...] = ()
    version_option: str = "--version"


@dataclass(frozen=True)
class Finding:
    """A need and what was found of it: a version (``""`` where it does not say), or None where it is missing."""

    need: Need
    version: str | None
    location: str | None = None


_BUILD = 'pip install "edgekit[build]"'

NEEDS = (
    Need("numpy", "package", "everything", "pip install edgekit"),
    Need("torch", "package", "edgekit build and compress, models in PyTorch", _BUILD),
    Need("ai-edge-litert", "package", "running and verifying TFLite files", _BUILD, ("tflite-runtime",)),
    Need("onnx", "package", "reading and checking ONNX models", _BUILD),
    Need("onnxruntime", "package", "running and verifying ONNX files", _BUILD),
    Need("safetensors", "package", ".ekg and .safetensors files", _BUILD),
    Need(
        "tflite-micro",
        "package",
        "arena size and op support on micro-controllers (Linux x86-64)",
        'pip install "edgekit[micro]"',
    ),
    Need(
        "tensorflow",
        "package",
        ".keras, .h5 and SavedModel sources (or an environment of its own, named by EDGEKIT_TENSORFLOW_PYTHON)",
        'pip install "edgekit[tensorflow]"',
        ("tensorflow-cpu",),
    ),
    Need("accelerate", "package", "steps of a recipe that train", 'pip install "edgekit[train]"'),
    Need(
        "larq-compute-engine",
        "environment",
        "running and verifying files of tflite-lce",
        "an environment of its own, named by EDGEKIT_LCE_PYTHON: docs/binary-networks.md",
    ),
    Need("ssh", "program", "edgekit bench --on ssh://...", "apt install openssh-client", (), "-V"),
    Need("adb", "program", "edgekit bench --on adb", "apt install adb (or Android's platform-tools)"),
    Need("qemu-aarch64", "program", "edgekit bench --on qemu: ARM64 instructions per inference", "apt install qemu-user"),
    Need(
        "aarch64-linux-gnu-gcc",
        "program",
        "edgekit bench --setup-qemu: compiling the counting runner",
        "apt install gcc-aarch64-linux-gnu",
    ),
    Need("cc", "program", "compiling a C array and its resolver for a check", "apt install gcc", ("gcc", "clang")),
    Need("cmake", "program", "edgekit build as a step of a CMake project", "apt install cmake"),
)


def examine() -> list[Finding]:
    """What is found of every need, in the order of :data:`NEEDS`. Programs are asked side by side, at most 5 s each."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_examine, NEEDS))


def system() -> dict[str, str]:
    """Facts about this machine and installation, by name."""
    return {
        "edgekit": edgekit.__version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
    }


def _examine(need: Need) -> Finding:
    look = {"package": _package, "program": _program, "environment": _environment}[need.kind]
    for name in (need.name, *need.alternatives):
        finding = look(need, name)
        if finding is not None:
            return finding
    return Finding(need, None)


def _package(need: Need, name: str) -> Finding | None:
    try:
        return Finding(need, importlib.metadata.version(name), None if name == need.name else name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _environment(need: Need, name: str) -> Finding | None:
    """Larq Compute Engine, where a Python with it is found."""
    from edgekit.runtime.larq_environment import find_python, version_in

    try:
        program = find_python()
    except EdgekitError:
        return None
    version = None if program is None else version_in(program)
    return None if version is None else Finding(need, version, program)


def _program(need: Need, name: str) -> Finding | None:
    path = shutil.which(name)
    if path is None:
        return None
    try:
        answer = subprocess.run(
            [path, need.version_option], capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return Finding(need, "", path)
    lines = (answer.stdout or answer.stderr).strip().splitlines()
    return Finding(need, lines[0].strip() if lines else "", path)
