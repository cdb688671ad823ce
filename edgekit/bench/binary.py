"""A user's ``benchmark_model`` binary as the runner: for Android devices without Python.

It is TensorFlow Lite's own benchmark tool, which nobody but its user can supply. It reports whole microseconds and one average
per process, so a launch here has no percentiles; the clock's step is noted, and a fast model is said to be below it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from edgekit.bench.execute import Arm
from edgekit.bench.launch import Kernels, Launch, Memory, Request
from edgekit.bench.transport.base import Transport
from edgekit.errors import DeviceError, InputError, Unsupported, UsageError

_TIMINGS = re.compile(
    r"Inference timings in us: Init: (\S+), First inference: (\S+), Warmup \(avg\): (\S+), Inference \(avg\): (\S+)"
)
_COUNTS = re.compile(
    r"count=(\d+) first=\S+ curr=\S+ min=(\S+) max=(\S+) avg=(\S+) std=(\S+)(?: p5=\S+ median=(\S+) p95=(\S+))?"
)
_MEMORY = re.compile(r"Memory footprint delta from the start of the tool \(MB\): init=(\S+) overall=(\S+)")
_COARSE_US = 50  # below this a whole microsecond is more than 2 %


class BinaryExecutor:
    """Runs a ``benchmark_model`` on a transport; see :class:`edgekit.bench.rounds.Executor`.

    Raises:
        UsageError: an option that the binary has no counterpart for.
        InputError: an artifact or the binary cannot be read here.
    """

    def __init__(self, transport: Transport, arms: Sequence[Arm], request: Request, binary: Path) -> None:
        if request.mode != "burst" or any(arm.input or arm.golden for arm in arms):
            hint = "modes, --input and --golden need Python on the device"
            raise UsageError("--device-binary measures bursts on random inputs only", where="--device-binary", hint=hint)
        for file in (binary, *(arm.artifact for arm in arms)):
            if not file.is_file():
                raise InputError(f"no file '{file}'", where="the command line", hint="check the path")
        self._transport, self._request = transport, request
        self._names = [str(arm.artifact) for arm in arms]
        self._digests = [hashlib.sha256(arm.artifact.read_bytes()).hexdigest() for arm in arms]
        self._binary = transport.put(binary)
        made = transport.run(["chmod", "755", self._binary], limit=30)
        if made.exit:
            raise DeviceError(
                "the binary cannot be made executable on the device", where=transport.name, hint=made.stderr or None
            )
        self._models = [transport.put(arm.artifact) for arm in arms]

    def launch(self, arm: int) -> Launch:
        """One process of the binary."""
        request = self._request
        command = [
            self._binary,
            f"--graph={self._models[arm]}",
            f"--num_threads={request.threads}",
            f"--num_runs={request.calls}",
        ]
        command += [f"--min_secs={request.seconds:g}", "--warmup_runs=10", "--warmup_min_secs=0.2"]
        command += ["--use_xnnpack=false"] if request.kernels != "default" else []
        finished = self._transport.run(command, limit=request.limit_seconds())
        where = f"{self._names[arm]}, on {self._transport.name}"
        return read_output(finished.stdout + "\n" + finished.stderr, finished.exit, self._digests[arm], where=where)


def read_output(text: str, exit_code: int, digest: str, *, where: str) -> Launch:
    """The launch that the binary's log describes.

    Raises:
        Unsupported, InputError, DeviceError: the binary failed, or printed no timings.
    """
    timings, counts = _TIMINGS.search(text), list(_COUNTS.finditer(text))
    if timings is None or not counts:
        lines = [line.strip() for line in text.splitlines() if "ERROR" in line or "rror:" in line] or text.strip().splitlines()[
            -2:
        ]
        said = " | ".join(lines[-2:]) or "it printed nothing"
        if "op for builtin opcode" in text or "unresolved" in text.lower():
            raise Unsupported(f"the device's runtime lacks an op: {said}", where=where, hint="a newer benchmark_model")
        if "failed to load" in text.lower() or "failed to initialize" in text.lower():
            raise InputError(f"the device's runtime cannot read the model: {said}", where=where, hint="build it again")
        hint = "it must be benchmark_model, built for this device's ABI"
        raise DeviceError(f"the device's binary gave no timings (exit {exit_code}): {said}", where=where, hint=hint)
    last = counts[-1]  # the first summary is the warm-up's
    init, first, _, average = (float(value) for value in timings.groups())
    headline = float(last[6]) if last[6] else average
    memory = _MEMORY.search(text)
    notes = ["its clock has whole microseconds: this model is too fast for it"] if headline < _COARSE_US else []
    notes += [] if last[6] else ["it reports the average of a process, not the median"]
    return Launch(
        median_us=max(headline, 1e-3),
        percentiles={
            "p50": headline if last[6] else None,
            "p90": None,
            "p95": float(last[7]) if last[7] else None,
            "p99": None,
        },
        samples=int(last[1]),
        mad_us=None,
        init_us=init,
        first_us=first,
        import_us=0.0,
        cpu_us=None,
        memory=Memory(model=round(float(memory[2]) * 1024)) if memory else Memory(),
        kernels=Kernels("XNNPACK" if "XNNPACK delegate" in text else None),
        runtime={"name": "benchmark_model", "version": "unknown", "threads": "1", "machine": "device"},
        model_sha256=digest,
        output_sha256="",
        golden=None,
        sentinel_us=None,
        sentinel_fastest_us=None,
        clock_overhead_ns=0.0,
        notes=tuple(notes),
    )
