"""A whole benchmark: what is asked, and what came of it."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.bench.budget import (
    Place,
    Verdict,
    check_arena,
    check_instructions,
    check_latency,
    check_memory,
    check_size,
)
from edgekit.bench.compare import Comparison, Finding
from edgekit.bench.execute import Arm, RunnerExecutor
from edgekit.bench.exits import ExitCosts, exit_costs
from edgekit.bench.headline import headlines, ratio
from edgekit.bench.launch import Request
from edgekit.bench.measurement import Measurement, condense
from edgekit.bench.qemu.counting import Count
from edgekit.bench.rounds import Executor, Progress, Stopping, instability, run_rounds
from edgekit.bench.statistics import Change, Estimate, change_of
from edgekit.bench.transport.base import Transport
from edgekit.bench.transport.facts import DeviceFacts, DeviceState
from edgekit.errors import DeviceError, InputError
from edgekit.target import Device


@dataclass(frozen=True)
class Pair:
    """Two artifacts measured in turn: ``other / base`` with its 99 % interval, and what may be said about it."""

    base: Path
    other: Path
    ratio: Estimate
    change: Change


@dataclass(frozen=True)
class Session:
    """One run of ``edgekit bench``.

    Attributes:
        on: the words after ``--on``.
        started: UTC, ISO 8601.
        place: where the programs ran, as far as a budget is concerned.
        facts: what the device is; None under instruction counting alone.
        before, after: its state around the measurement.
        request, stopping: what was asked.
        device: whose budget is binding.
        results: one per artifact.
        pairs: every artifact against the first.
        comparison: against an older session.
    """

    on: str
    started: str
    place: Place
    request: Request
    stopping: Stopping
    results: tuple[Measurement, ...]
    facts: DeviceFacts | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None
    device: Device | None = None
    pairs: tuple[Pair, ...] = ()
    comparison: Comparison | None = None
    tolerance: float = 0.0
    margin: float = 0.02
    warnings: tuple[str, ...] = field(default=())

    def exit_code(self, *, strict: bool = False) -> int:
        """0; 5 golden outputs missed; 3 over budget or slower than before; 7 too noisy to answer what was asked."""
        checks = [check for result in self.results for check in result.checks]
        findings: Sequence[Finding] = self.comparison.findings if self.comparison else ()
        unstable = any(result.unstable for result in self.results)
        undecided = any(finding.change is Change.INCONCLUSIVE and finding.ratio for finding in findings)
        if any(r.golden and not r.golden.equal and r.golden.max_abs_difference > self.tolerance for r in self.results):
            return 5
        if any(check.verdict is Verdict.FAIL for check in checks) or any(f.change is Change.SLOWER for f in findings):
            return 3
        if strict and (self.warnings or any(result.warnings for result in self.results)):
            return 3
        if strict and any(check.verdict is Verdict.NOT_MEASURABLE and not check.inconclusive for check in checks):
            return 3
        if any(check.inconclusive for check in checks) or (unstable and (strict or undecided)):
            return 7
        return 7 if strict and any(f.change is Change.INCONCLUSIVE for f in findings) else 0


def measure(
    transport: Transport,
    arms: Sequence[Arm],
    request: Request,
    stopping: Stopping,
    *,
    python: str,
    device: Device | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Session:
    """Measure artifacts on a device, in turn.

    Args:
        transport: the device.
        arms: the artifacts.
        request: what each launch does.
        stopping: how many launches.
        python: the interpreter on the device.
        device: whose budget is checked.
        progress: told after each round.
        executor: makes the launches; by default the runner on the transport.

    Raises:
        InputError, Unsupported, DeviceError: see :func:`edgekit.bench.launch.read_launch` and the transport.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts, before = transport.probe()
    place = place_of(transport.name, facts, device)
    request = replace(request, watch=place is Place.HOST and request.mode == "burst")
    executor = executor or RunnerExecutor(transport, arms, request, python)
    launches = run_rounds(executor, len(arms), stopping, progress)
    _, after = transport.probe()
    results = []
    for arm, own, headline in zip(arms, launches, headlines(launches, stopping.launches), strict=True):
        unstable = instability(own, headline, stopping) if request.mode != "soak" else ()
        result = condense(arm.artifact, request.mode, own, unstable, request.kernels, headline)
        result = replace(result, exits=exit_costs(arm.artifact, arm.input, request.kernels, [one.rows_us for one in own]))
        results.append(_checked(result, device, place) if device else result)
    return Session(
        on=transport.name,
        started=started,
        place=place,
        facts=facts,
        before=before,
        after=after,
        request=request,
        stopping=stopping,
        device=device,
        results=tuple(results),
        pairs=tuple(_pairs(results)),
        warnings=tuple(_state_warnings(before, after, facts)),
    )


def examine(arms: Sequence[Arm], request: Request, *, cpu: str | None, device: Device | None = None) -> Session:
    """Everything about artifacts that needs no launch: size, instructions on an emulated core, the micro-controller's arena.

    Args:
        arms: the artifacts.
        request: what would be asked of launches, for the record.
        cpu: the emulated core, or None to count only where the device's budget asks for it.
        device: whose budget is checked; its arena is planned where it runs TensorFlow Lite Micro.

    Raises:
        UsageError, InputError, Unsupported, DeviceError: see :func:`edgekit.bench.qemu.counting.count` and
            :func:`edgekit.bench.micro.arena`.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    place = Place.EMULATOR if cpu else Place.HOST
    return Session(
        on=f"qemu:{cpu}" if cpu else "local",
        started=started,
        place=place,
        request=request,
        stopping=Stopping(),
        device=device,
        results=tuple(_examined(arm, request, cpu, device, place) for arm in arms),
    )


def _examined(arm: Arm, request: Request, cpu: str | None, device: Device | None, place: Place) -> Measurement:
    if not arm.artifact.is_file():
        raise InputError(f"no file '{arm.artifact}'", where="the command line", hint="check the path")
    from edgekit.bench import qemu

    exits = exit_costs(arm.artifact, arm.input, request.kernels)
    counted = _by_samples(qemu.count(arm.artifact, cpu), exits) if cpu else None
    content = arm.artifact.read_bytes()
    result = Measurement(
        artifact=arm.artifact,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        mode="burst",
        count=counted,
        output_sha256=counted.output_sha256 if counted else None,
        warnings=tuple(f"the runtime fell back to other kernels: {note}" for note in counted.notes) if counted else (),
        exits=exits,
    )
    return _checked(result, device, place) if device else result


def _by_samples(counted: Count, exits: ExitCosts | None) -> Count:
    """The count with the rates of the user's samples in the place of those that the file names."""
    return replace(counted, rates=exits.rates) if exits is not None and len(exits.rates) == len(counted.paths) else counted


def place_of(name: str, facts: DeviceFacts, device: Device | None) -> Place:
    """Where a run took place: on the device only if it is reached as one, is not emulated, and has the device's ABI.

    This machine counts as the device where its own model name is the device's description (edgekit runs on the Raspberry Pi).
    """
    if facts.emulated:
        return Place.EMULATOR
    if device and facts.abi != device.hardware.abi:
        return Place.HOST
    if name == "local":
        itself = device is not None and facts.model.lower().startswith(device.description.lower())
        return Place.DEVICE if itself else Place.HOST
    return Place.DEVICE


def _checked(result: Measurement, device: Device, place: Place) -> Measurement:
    """The measurement with the device's checks, and with what they had to count and plan for it."""
    from edgekit.bench import micro, qemu

    budget, cpu = device.budget, device.hardware.qemu_cpu
    counted, planned = result.count, result.arena
    with contextlib.suppress(DeviceError):  # a tool that is missing: the check says so
        if counted is None and (budget.instructions or budget.mean_instructions) and cpu:
            counted = _by_samples(qemu.count(result.artifact, cpu), result.exits)
    with contextlib.suppress(DeviceError):
        if planned is None and budget.arena_bytes:
            planned = micro.arena(result.artifact)
    checks = [
        *check_latency(result.latency.p95_interval if result.latency else None, place, result.unstable, budget),
        *check_memory(result.memory, place, budget),
        *check_size(result.artifact, budget),
        *check_arena(result.artifact, budget, planned),
        *check_instructions(result.artifact, device, counted),
    ]
    return replace(result, count=counted, arena=planned, checks=tuple(checks))


def _pairs(results: Sequence[Measurement]) -> list[Pair]:
    found = []
    base = results[0]
    for other in results[1:]:
        if base.latency and other.latency:
            found_ratio = ratio(base.latency.headline, other.latency.headline)
            found.append(Pair(base.artifact, other.artifact, found_ratio, change_of(found_ratio)))
    return found


def _state_warnings(before: DeviceState, after: DeviceState, facts: DeviceFacts) -> list[str]:
    """What the device's state says against the figures."""
    found = []
    if facts.emulated:
        found.append("the programs ran in an emulator: its times mean nothing")
    if after.thermal_status:
        found.append(f"Android reports thermal status {after.thermal_status} (0 is cool): the clock may be lowered")
    elif any(celsius >= 75 for _, celsius in after.thermal_c):
        found.append(f"the device is hot: {max(celsius for _, celsius in after.thermal_c):.0f} degrees Celsius")
    if before.governors and not set(before.governors) & {"performance"}:
        found.append(f"the frequency governor is {', '.join(before.governors)}: short bursts may run below the highest clock")
    if after.battery_percent is not None and after.battery_percent < 20 and "Charging" not in after.battery_status:
        found.append(f"the battery is at {after.battery_percent} %: devices slow down when it is low")
    return found
