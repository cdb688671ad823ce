"""Verdicts: what a device's budget allows against what was measured, and honest silence about what was not.

Milliseconds are judged only where the programs ran on the device itself. A host or an emulator answers for the size of the
file, for memory, for the arena and for instructions, and says that it cannot answer for time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edgekit.bench.launch import Memory
from edgekit.bench.micro import Arena, arena
from edgekit.bench.qemu.counting import Count, count
from edgekit.bench.statistics import Estimate
from edgekit.errors import DeviceError
from edgekit.target import Budget, Device


class Verdict(Enum):
    """The answer to one check."""

    PASS = "pass"
    FAIL = "fail"
    NOT_MEASURABLE = "not measurable here"


@dataclass(frozen=True)
class Check:
    """One line of a budget.

    Attributes:
        name: latency_p95, memory, model_size, arena or instructions.
        limit: what the budget allows, in ``unit``.
        value: what was measured, None where nothing was.
        unit: ms, bytes or instructions.
        verdict: the answer.
        reason: how the value was obtained, or why there is none.
        inconclusive: True where a noisy measurement is the reason that there is no verdict.
    """

    name: str
    limit: float
    value: float | None
    unit: str
    verdict: Verdict
    reason: str = ""
    inconclusive: bool = False


class Place(Enum):
    """Where the programs ran."""

    DEVICE = "on the device"
    HOST = "on this host"
    EMULATOR = "under emulation"


def check_size(artifact: Path, budget: Budget) -> list[Check]:
    """The artifact file's size."""
    if budget.model_bytes is None:
        return []
    return [_judge("model_size", budget.model_bytes, artifact.stat().st_size, "bytes", "size of the file")]


def check_latency(p95_us: Estimate | None, place: Place, unstable: tuple[str, ...], budget: Budget) -> list[Check]:
    """The 95th percentile of the latency, on the device itself."""
    limit = budget.p95_latency_ms
    if limit is None:
        return []
    if place is not Place.DEVICE:
        return [_silent("latency_p95", limit, "ms", f"a run {place.value} says nothing about the device's time")]
    if p95_us is None:
        return [_silent("latency_p95", limit, "ms", "the launches had too few calls for a 95th percentile")]
    low, value, high = p95_us.low / 1000, p95_us.value / 1000, p95_us.high / 1000
    if unstable and low <= limit <= high:
        reason = f"between {low:.3g} and {high:.3g} ms, too noisy to decide: {'; '.join(unstable)}"
        return [Check("latency_p95", limit, value, "ms", Verdict.NOT_MEASURABLE, reason, inconclusive=True)]
    return [_judge("latency_p95", limit, value, "ms", f"95 % interval {low:.3g} to {high:.3g} ms")]


def check_memory(memory: Memory | None, place: Place, budget: Budget) -> list[Check]:
    """Memory of the kind that the budget names."""
    limit = budget.peak_memory_bytes
    if limit is None:
        return []
    if memory is None or place is Place.EMULATOR:
        return [_silent("memory", limit, "bytes", "an emulated process's memory contains the emulator")]
    kind = {
        "rss_anon_delta": (memory.model, "anonymous memory that the model adds"),
        "total_rss": (memory.stack, "resident memory of runtime and model, without the interpreter"),
        "vm_hwm": (memory.peak, "peak resident memory of the whole process, interpreter included"),
    }
    kib, reason = kind[budget.memory]
    if kib is None:
        return [_silent("memory", limit, "bytes", "this kernel does not report it")]
    return [_judge("memory", limit, max(kib, 0) * 1024, "bytes", f"{reason}, {place.value}")]


def check_arena(artifact: Path, budget: Budget, planned: Arena | None = None) -> list[Check]:
    """TensorFlow Lite Micro's tensor arena, planned by its own interpreter (here, unless it has been before)."""
    if budget.arena_bytes is None:
        return []
    try:
        planned = planned or arena(artifact)
    except DeviceError as error:
        return [_refused("arena", budget.arena_bytes, "bytes", error)]
    reason = f"head {planned.head:,} + tail {planned.tail:,}; the tail is smaller on a 32-bit device"
    return [_judge("arena", budget.arena_bytes, planned.total, "bytes", reason)]


def check_instructions(artifact: Path, device: Device, counted: Count | None = None) -> list[Check]:
    """ARM64 instructions per inference on the device's core, counted under emulation (here, unless they have been before)."""
    cpu = device.hardware.qemu_cpu
    given = {"instructions": device.budget.instructions, "mean_instructions": device.budget.mean_instructions}
    limits = {name: limit for name, limit in given.items() if limit is not None}
    if not limits:
        return []
    if cpu is None:
        return [_silent(name, limit, "instructions", "this device's core is not emulated") for name, limit in limits.items()]
    try:
        counted = counted if counted and counted.cpu == cpu else count(artifact, cpu)
    except DeviceError as error:
        return [_refused(name, limit, "instructions", error) for name, limit in limits.items()]
    return [_instructions(name, limit, counted) for name, limit in limits.items()]


def _instructions(name: str, limit: float, counted: Count) -> Check:
    """The worst case, or what a sample costs in the mean by the exit rates of the user's samples, or that the file names."""
    reason = f"{counted.cpu}, {counted.runtime}" + ("" if counted.exact else ", within about 1 %")
    if not counted.paths:
        return _judge(name, limit, counted.per_inference, "instructions", reason)
    if name == "instructions":
        return _judge(name, limit, counted.per_inference, "instructions", f"{reason}, the worst of {len(counted.paths)} exits")
    if counted.mean is None:
        return _silent(name, limit, "instructions", "the file does not say how many samples leave at which exit")
    return _judge(name, limit, counted.mean, "instructions", f"{reason}, by the exit rates")


def check_artifact(path: Path, device: Device) -> list[Check]:
    """Every check that this machine can answer for a finished file without running it on a device.

    Latency and memory appear as not measurable; `edgekit bench --on ...` measures them.

    Raises:
        Unsupported, InputError: the device's runtime cannot run the model.
    """
    hint = "measure it there: edgekit bench ARTIFACT --on ssh://user@host (or adb) --device " + device.name
    budget = device.budget
    checks = check_size(path, budget)
    if budget.p95_latency_ms is not None:
        checks.append(_silent("latency_p95", budget.p95_latency_ms, "ms", hint))
    if budget.peak_memory_bytes is not None:
        checks.append(_silent("memory", budget.peak_memory_bytes, "bytes", hint))
    return checks + check_arena(path, budget) + check_instructions(path, device)


def _judge(name: str, limit: float, value: float, unit: str, reason: str) -> Check:
    return Check(name, limit, value, unit, Verdict.PASS if value <= limit else Verdict.FAIL, reason)


def _silent(name: str, limit: float, unit: str, reason: str) -> Check:
    return Check(name, limit, None, unit, Verdict.NOT_MEASURABLE, reason)


def _refused(name: str, limit: float, unit: str, error: DeviceError) -> Check:
    """A tool that is missing here leaves the check open; a model that does not run there is an error, and no check."""
    return _silent(name, limit, unit, error.what + (f" ({error.hint})" if error.hint else ""))
