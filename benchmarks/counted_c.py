"""Instructions of generated C on an emulated ARM64 core, between the marks that `edgekit bench` counts between."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from edgekit.bench.qemu.toolbox import plugin

_COMPILER = "aarch64-linux-gnu-gcc"

#: The third call is counted, as for files.
_STEADY = 2

_MAIN = """\
#include <string.h>
#include <sys/resource.h>
#include "{name}.h"
static int8_t in[{upper}_INPUT_SIZE], out[{upper}_OUTPUT_SIZE];
static void mark(int tag) {{ getpriority((__priority_which_t)77, (id_t)tag); }}
int main(void) {{
  for (int i = 0; i < {upper}_INPUT_SIZE; i++) in[i] = (int8_t)(i * 31 + 7);
  mark(1000);
  mark(1001);
  for (int call = 0; call < 3; call++) {{ mark(2 * call); {name}_run(in, out); mark(2 * call + 1); }}
  return 0;
}}
"""


def count_c(source: Path, cpu: str = "cortex-a53", optimize: str = "-O2") -> int | None:
    """Instructions of one call of ``NAME_run`` in NAME.c; None without the cross compiler or the emulator."""
    if shutil.which(_COMPILER) is None or shutil.which("qemu-aarch64") is None:
        return None
    name = source.stem
    with tempfile.TemporaryDirectory(prefix="edgekit-count-") as place:
        folder = Path(place)
        (folder / "main.c").write_text(_MAIN.format(name=name, upper=name.upper()))
        command = [_COMPILER, "-std=gnu11", optimize, f"-mcpu={cpu}", "-static", "-I", str(source.parent)]
        subprocess.run([*command, str(source), "main.c", "-o", "net"], cwd=folder, check=True, capture_output=True)
        return steady_count(["./net"], folder, cpu)


def steady_count(command: list[str], folder: Path, cpu: str) -> int:
    """Instructions of the third call of a program for 64-bit ARM that marks its calls."""
    program = ["qemu-aarch64", "-plugin", f"{plugin()},out=marks", "-cpu", cpu, *command]
    done = subprocess.run(program, cwd=folder, check=True, capture_output=True, text=True)
    if done.stdout.strip() not in ("", "0"):
        raise RuntimeError(f"{done.stdout.strip()} results differ from plain loops")
    rows = [line.split() for line in (folder / "marks").read_text().splitlines()]
    at = {int(tag): int(count) for kind, tag, *rest in rows if kind == "mark" for count in rest}
    return at[2 * _STEADY + 1] - at[2 * _STEADY] - (at[1001] - at[1000])
