"""Counting: one emulated process, a few calls, the instructions between two marks around each."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.bench.qemu.cpu import Cpu, cpu_named
from edgekit.bench.qemu.toolbox import Library, litert_library, ort_library, plugin, program, require, root_for
from edgekit.bench.qemu.userland import python_command
from edgekit.errors import DeviceError, InputError, Unsupported

#: The call whose count is reported: the first sets up kernels, the second may still touch new memory.
_STEADY = 2
_CALLS = 4
_EMPTY = 1000


@dataclass(frozen=True)
class Count:
    """ARM64 instructions of one model on one emulated core.

    Attributes:
        per_inference: of the third call.
        first: of the first call.
        calls: of all calls that were made.
        cpu: the emulated core. runtime: name and version. Both are the figure's key: other kernels have other counts.
        exact: False where counts may vary a little between processes: ONNX Runtime, several threads, or run through Python.
        output_sha256: hash of the first call's outputs.
        notes: what the runtime complained about that means other kernels than usual (through Python it goes on without them).
        paths: per inference of each exit of a file with early exits, the whole network last; ``per_inference`` is the worst.
        rates: share of samples that leave there, as the file says, or of the user's samples; empty where neither is known.
    """

    per_inference: int
    first: int
    calls: tuple[int, ...]
    cpu: str
    runtime: str
    exact: bool
    output_sha256: str
    notes: tuple[str, ...] = ()
    paths: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()

    @property
    def mean(self) -> float | None:
        """Of one sample, by the rates; None where there are none."""
        return sum(rate * cost for rate, cost in zip(self.rates, self.paths, strict=True)) if self.rates else None

    @property
    def p90(self) -> int | None:
        """What nine samples of ten cost at most, by the rates."""
        shares = sorted(zip(self.paths, self.rates, strict=True)) if self.rates else []
        total = 0.0
        for cost, rate in shares:
            total += rate
            if total >= 0.9 - 1e-9:
                return cost
        return None

    @property
    def key(self) -> str:
        """What two counts must share to be compared."""
        return f"{self.cpu}/{self.runtime}"


def count_instructions(artifact: Path | str, cpu: str = "cortex-a53") -> int:
    """ARM64 instructions per inference of a .tflite or .onnx file; errors as :func:`count`."""
    return count(Path(artifact), cpu).per_inference


def count(artifact: Path, cpu: str = "cortex-a53", *, input: Path | None = None, output: Path | None = None) -> Count:
    """Run an artifact under emulation and count.

    Args:
        artifact: a .tflite or .onnx file.
        cpu: the emulated core, one of :data:`edgekit.bench.qemu.cpu.CPUS`.
        input: raw bytes of all inputs one after the other; by default a fixed sequence of bytes. Where none is given, a file
            with early exits is counted on every path and not on the one that such bytes happen to take.
        output: where to write the raw bytes of the first call's outputs.

    Raises:
        UsageError: no such core.
        InputError: the file cannot be read or run. Unsupported: the runtime lacks an op.
        DeviceError: counting is not set up here, or this emulator's plugin interface is of another version.
    """
    core = cpu_named(cpu)
    if not artifact.is_file():
        raise InputError(f"no file '{artifact}'", hint="check the path")
    if input is None and output is None and (forced := _paths(artifact)):
        return _worst(forced, artifact, core)
    return _counted(artifact, core, input, output)


def _counted(artifact: Path, core: Cpu, input: Path | None = None, output: Path | None = None) -> Count:
    onnx = artifact.suffix == ".onnx"
    library = ort_library() if onnx else litert_library()
    require(library)
    own = ["-L", str(root_for(core)), "-E", "LD_LIBRARY_PATH=/lib", str(program("ort_runner" if onnx else "litert_runner"))]
    run = _Run(artifact, core, input, output)
    try:
        return run.count([*own, str(library.path)], library, exact=not onnx)
    except _VariableTensors:  # the C interface does not load these; LiteRT's Python interpreter does
        script = Path(__file__).with_name("python_runner.py")
        return run.count([*python_command(core), str(script)], library, exact=False)


def _paths(artifact: Path) -> list[bytes]:
    """Files that take one path each; nothing where there is but one, or the file can't be read: the runtime says why."""
    from edgekit.formats.onnx import paths as of_onnx
    from edgekit.formats.tflite import paths as of_tflite

    with contextlib.suppress(InputError):
        content = artifact.read_bytes()
        return of_onnx.forced_paths(content) if artifact.suffix == ".onnx" else of_tflite.forced_paths(content)
    return []


def _worst(forced: list[bytes], artifact: Path, core: Cpu) -> Count:
    """The count of the most expensive path, with those of all, and what the file says of how often each is taken."""
    from edgekit.formats.onnx import paths as of_onnx
    from edgekit.formats.tflite import paths as of_tflite

    said = (of_onnx if artifact.suffix == ".onnx" else of_tflite).rates_of(artifact.read_bytes())
    rates = said.rates if said is not None and len(said.rates) == len(forced) else ()
    found = []
    with tempfile.TemporaryDirectory(prefix="edgekit-paths-") as name:
        for number, content in enumerate(forced):
            path = Path(name) / f"{number}{artifact.suffix}"
            path.write_bytes(content)
            found.append(_counted(path, core))
    worst = max(found, key=lambda one: one.per_inference)
    return replace(worst, paths=tuple(one.per_inference for one in found), rates=rates)


class _VariableTensors(Exception):
    """The model keeps state in variable tensors, which LiteRT's C interface refuses."""


@dataclass(frozen=True)
class _Run:
    """What one count is of; see :func:`count`."""

    artifact: Path
    cpu: Cpu
    input: Path | None
    output: Path | None

    def count(self, program: list[str], library: Library, *, exact: bool) -> Count:
        """Run the program on the artifact, and read its marks."""
        with tempfile.TemporaryDirectory(prefix="edgekit-qemu-") as name:
            folder = Path(name)
            # Short, equal names and an empty environment: what lies on the program's stack is the same for everybody.
            shutil.copyfile(self.artifact, folder / "model")
            if self.input:
                shutil.copyfile(self.input, folder / "input")
            command = ["qemu-aarch64", "-plugin", f"{plugin()},out=marks", "-cpu", self.cpu.name, *program]
            command += ["model", str(_CALLS), "input" if self.input else "-", "output"]
            done = subprocess.run(
                command, cwd=folder, env={"PATH": os.defpath}, capture_output=True, text=True, errors="replace", timeout=600
            )
            if done.returncode:
                raise _failure(done, self.artifact, library)
            content = (folder / "output").read_bytes()
            if self.output:
                self.output.write_bytes(content)
            threads, calls = _read_marks(folder / "marks", self.artifact)
        return Count(
            per_inference=calls[_STEADY],
            first=calls[0],
            calls=calls,
            cpu=self.cpu.name,
            runtime=f"{library.distribution} {library.version}",
            exact=exact and threads == 1,
            output_sha256=hashlib.sha256(content).hexdigest(),
            notes=tuple(line for line in done.stderr.splitlines() if "error in cpuinfo" in line.lower()),
        )


def _read_marks(path: Path, artifact: Path) -> tuple[int, tuple[int, ...]]:
    """Threads and the counts per call, less what an empty pair of marks costs."""
    if not path.is_file():
        raise DeviceError(
            "the emulator wrote no counts", where=artifact, hint="this needs Debian's qemu-user, not qemu-user-static"
        )
    threads, at = 0, {}
    for line in path.read_text().splitlines():
        kind, *numbers = line.split()
        if kind == "threads":
            threads = int(numbers[0])
        else:
            at[int(numbers[0])] = int(numbers[1])
    empty = at[_EMPTY + 1] - at[_EMPTY]
    return threads, tuple(at[2 * call + 1] - at[2 * call] - empty for call in range(_CALLS))


def _failure(done: subprocess.CompletedProcess[str], artifact: Path, library: Library) -> Exception:
    """The error for an emulated run that failed, by what it said."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "accelerator" not in line]
    said = " | ".join(lines[-3:]) or "it said nothing"
    low = said.lower()
    if "plugin api" in low or "plugin requires" in low or "requires api version" in low or "-plugin" in low:
        hint = "the plugin was tested with version 1 of QEMU's plugin interface (Debian 12's qemu-user 7.2)"
        return DeviceError(f"this emulator's plugin interface is another one: {said}", hint=hint)
    if "variable tensors not yet supported" in low:
        return _VariableTensors()
    if "error in cpuinfo" in done.stderr.lower():
        hint = f"remove {root_for(cpu_named('cortex-a53')).parent} and run edgekit bench --setup-qemu"
        return DeviceError(
            "the emulated root does not show the core, so the runtime would pick other kernels (cpuinfo)", hint=hint
        )
    if done.returncode == 4:
        hint = f"tested with {library.distribution} {library.version}; EDGEKIT_QEMU_LITERT must name a version like it"
        return DeviceError(f"the runtime's library does not fit the runner: {said}", hint=hint)
    if "didn't find op" in low or "unresolved" in low or "not_implemented" in low:
        return Unsupported(
            f"the runtime lacks an op of the model: {said}", where=artifact, hint="`edgekit inspect` lists the ops"
        )
    return InputError(
        f"the runtime cannot run the model: {said}", where=artifact, hint="build it again, or check that it is complete"
    )
