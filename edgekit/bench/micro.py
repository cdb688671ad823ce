"""What a model costs on a micro-controller: the arena that TensorFlow Lite Micro plans for it, and whether it has its ops.

The PyPI package ``tflite-micro`` is the micro-controller's own planner and kernels, built for a host. It prints its figures to
C's stderr only and can end the process on a file that it misreads, so each model gets a subprocess. ``head`` (planned
activations) is the same on the micro-controller; ``tail`` (persistent structures) shrinks there, with its 32-bit pointers.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import DeviceError, InputError, Unsupported
from edgekit.formats.tflite.read import read

#: Loads the model with a generous arena, runs it once, and lets the interpreter print its allocations.
_SCRIPT = """
import sys
from tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
interpreter.invoke()
interpreter.print_allocations()
"""
_LARGEST_ARENA = 256 * 1024 * 1024
_PART = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True)
class Arena:
    """Bytes of TensorFlow Lite Micro's tensor arena: planned activations (head), persistent structures (tail), their sum.

    Attributes:
        total: what ``kTensorArenaSize`` must at least be on a 64-bit host; less is enough on a 32-bit device.
        head: planned activations, the same on every device.
        tail: persistent structures of a 64-bit build.
        flash_bytes: size of the model, which stays in flash.
    """

    total: int
    head: int
    tail: int
    flash_bytes: int


def available() -> bool:
    """True where the package tflite-micro is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def arena(artifact: Path | str, *, timeout: float = 120.0) -> Arena:
    """The exact arena of a .tflite file.

    Raises:
        InputError: the file is missing or damaged.
        Unsupported: TensorFlow Lite Micro lacks an op or a type of the model.
        DeviceError: tflite-micro is not installed.
    """
    path = Path(artifact)
    if not path.is_file():
        raise InputError(f"no file '{path}'", hint="check the path")
    read(path.read_bytes(), where=path)  # a damaged file is told from an unsupported one here
    if not available():
        raise DeviceError("the package 'tflite-micro' is not installed", hint="pip install 'edgekit[micro]'")
    command = [sys.executable, "-c", _SCRIPT, str(path), str(_LARGEST_ARENA)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        raise InputError("TensorFlow Lite Micro does not end on this model", where=path, hint="build it again") from None
    found = {match[1]: int(match[2]) for match in _PART.finditer(done.stderr)}
    if done.returncode or set(found) != {"total", "head", "tail"}:
        raise _failure(done, path)
    return Arena(**found, flash_bytes=path.stat().st_size)


def _failure(done: subprocess.CompletedProcess[str], path: Path) -> InputError | Unsupported:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith((" ", "Traceback"))]
    said = " | ".join(line for line in lines if "RuntimeError" not in line) or (lines[-1] if lines else "it said nothing")
    hint = "the target tflm-int8 writes only what TensorFlow Lite Micro runs; `edgekit inspect` lists the ops"
    if done.returncode < 0:
        return InputError(f"TensorFlow Lite Micro crashed on this model (signal {-done.returncode})", where=path, hint=hint)
    return Unsupported(f"TensorFlow Lite Micro cannot run this model: {said}", where=path, hint=hint)
