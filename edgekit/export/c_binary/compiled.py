"""The C files compiled and run on this machine, where it has a compiler."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.export.c_binary.exporter import CFiles

#: What every compiler is asked to be as strict about as it can.
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")

_MAIN = """\
#include <stdio.h>
#include "{name}.h"

int main(void) {{
  static int8_t in[{upper}_INPUT_SIZE], out[{upper}_OUTPUT_SIZE];
  while (fread(in, 1, sizeof in, stdin) == sizeof in) {{
    {name}_run(in, out);
    if (fwrite(out, 1, sizeof out, stdout) != sizeof out) return 1;
  }}
  return 0;
}}
"""


def compiler() -> str | None:
    """A C compiler of this machine: the first of cc, gcc and clang."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def version_of(program: str) -> str:
    """The first line that a compiler says of itself."""
    lines = _checked([program, "--version"], b"").decode(errors="replace").splitlines()
    return lines[0] if lines else Path(program).name


def run_compiled(
    files: CFiles, name: str, inputs: NDArray[np.int8], *, flags: Sequence[str] = ("-O2",), compiler_path: str | None = None
) -> NDArray[np.int8]:
    """What the C code gives for samples, compiled in a folder of its own with every warning an error.

    Args:
        files: as ``export_c`` made them.
        name: the identifier in them.
        inputs: (N, input size) in the order that the header states.
        flags: beside ``FLAGS``.
        compiler_path: of a compiler; the machine's own by default.

    Returns:
        (N, output size).

    Raises:
        UsageError: there is no compiler.
        RuntimeError: the code does not compile, or does not run: an error in edgekit.
    """
    program = compiler_path or compiler()
    if program is None:
        raise UsageError("there is no C compiler", where="cc", hint="install gcc or clang, or set PATH")
    with tempfile.TemporaryDirectory(prefix="edgekit-c-") as place:
        folder = Path(place)
        (folder / f"{name}.h").write_text(files.header)
        (folder / f"{name}.c").write_text(files.source)
        (folder / "main.c").write_text(_MAIN.format(name=name, upper=name.upper()))
        sources = [str(folder / f"{name}.c"), str(folder / "main.c")]
        _checked([program, *FLAGS, *flags, "-I", str(folder), *sources, "-o", str(folder / "net")], b"")
        printed = _checked([str(folder / "net")], np.ascontiguousarray(inputs, np.int8).tobytes())
    result: NDArray[Any] = np.frombuffer(printed, np.int8).reshape(len(inputs), -1)
    return result


def _checked(command: list[str], given: bytes) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stderr.decode(errors='replace')[:4000]}")
    return done.stdout
