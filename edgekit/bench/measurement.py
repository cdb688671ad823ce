"""What was measured of one artifact: launches condensed to figures with intervals, and everything that qualifies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.bench.budget import Check
from edgekit.bench.exits import ExitCosts
from edgekit.bench.headline import Headline, full_speed
from edgekit.bench.launch import Golden, Kernels, Launch, Memory, Mode, Soak
from edgekit.bench.micro import Arena
from edgekit.bench.qemu.counting import Count
from edgekit.bench.statistics import Estimate, estimate


@dataclass(frozen=True)
class Latency:
    """Microseconds. Percentiles are medians over the launches' own percentiles: one bad launch does not make a p99.

    Attributes:
        headline: the launches' medians, and which calls they are of.
        median: the median of those medians, with its 95 % interval.
        p50, p90, p95, p99: of all calls inside a launch; None where launches have too few calls.
        p95_interval: p95 with its interval, for the budget.
        mad: median absolute deviation of the calls inside a launch.
        cpu: processor time per call.
        launches: how many processes. samples: calls in all of them.
    """

    headline: Headline
    median: Estimate
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p95_interval: Estimate | None
    mad: float | None
    cpu: float | None
    launches: int
    samples: int


@dataclass(frozen=True)
class Measurement:
    """One artifact's figures.

    Attributes:
        artifact: the file. sha256, bytes: of its content.
        mode: what the latency is of.
        latency: None where only instructions were counted.
        init_us, first_us, import_us: medians over launches.
        memory: medians over launches.
        runtime: name and versions, threads, machine.
        output_sha256: of the first call's outputs; None where launches disagreed.
        unstable: why the latency is not to be relied on; empty where it is.
        warnings: what else the user should know.
        exits: what samples cost that leave at each exit of the file, by the user's samples.
        sentinel_us: the machine's own speed: the tick at full speed where the launches were watched, else the sentinel's loop
            (lower quartile of the launches' fastest rounds).
    """

    artifact: Path
    sha256: str
    bytes: int
    mode: Mode
    latency: Latency | None = None
    init_us: float | None = None
    first_us: float | None = None
    import_us: float | None = None
    memory: Memory | None = None
    kernels: Kernels | None = None
    runtime: tuple[tuple[str, str], ...] = ()
    output_sha256: str | None = None
    golden: Golden | None = None
    soak: Soak | None = None
    count: Count | None = None
    arena: Arena | None = None
    unstable: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sentinel_us: float | None = None
    exits: ExitCosts | None = None
    checks: tuple[Check, ...] = ()


def condense(
    artifact: Path, mode: Mode, launches: Sequence[Launch], unstable: tuple[str, ...], kernels: str, headline: Headline
) -> Measurement:
    """The measurement that launches of one artifact make; ``kernels`` is what was asked for: ``default`` expects a delegate."""
    first = launches[0]
    sentinels = [launch.sentinel_fastest_us for launch in launches if launch.sentinel_fastest_us]
    outputs = {launch.output_sha256 for launch in launches}
    latency = Latency(
        headline=headline,
        median=headline.estimate(),
        **{key: _percentile(launches, key) for key in ("p50", "p90", "p95", "p99")},
        p95_interval=_interval([launch.percentiles["p95"] for launch in launches]),
        mad=_median([launch.mad_us for launch in launches]),
        cpu=_median([launch.cpu_us for launch in launches]),
        launches=len(launches),
        samples=sum(launch.samples for launch in launches),
    )
    return Measurement(
        artifact=artifact,
        sha256=first.model_sha256,
        bytes=artifact.stat().st_size,
        mode=mode,
        latency=latency,
        init_us=_median([launch.init_us for launch in launches]),
        first_us=_median([launch.first_us for launch in launches]),
        import_us=_median([launch.import_us for launch in launches]),
        memory=_memory(launches),
        kernels=first.kernels,
        runtime=tuple(sorted(first.runtime.items())),
        output_sha256=outputs.pop() if len(outputs) == 1 else None,
        golden=first.golden,
        soak=first.soak,
        unstable=unstable,
        warnings=_warnings(launches, kernels),
        sentinel_us=full_speed(launches) or (float(np.percentile(sentinels, 25)) if sentinels else None),
    )


def _warnings(launches: Sequence[Launch], kernels: str) -> tuple[str, ...]:
    found = []
    if kernels == "default" and launches[0].kernels.delegate is None:
        found.append("XNNPACK did not take the model: slower built-in kernels ran, and their outputs may differ")
    notes = {note for launch in launches for note in launch.notes}
    found += [f"the runtime fell back to other kernels: {note}" for note in sorted(notes)]
    if len({launch.output_sha256 for launch in launches}) > 1:
        found.append("launches gave different outputs for the same input")
    if any(launch.kernels != launches[0].kernels for launch in launches):
        found.append("launches ran different kernels")
    return tuple(found)


def _percentile(launches: Sequence[Launch], key: str) -> float | None:
    return _median([launch.percentiles[key] for launch in launches])


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known and len(known) == len(values) else None


def _interval(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return estimate(known) if known and len(known) == len(values) else None


def _memory(launches: Sequence[Launch]) -> Memory:
    def middle(key: str) -> int | None:
        value = _median([getattr(launch.memory, key) for launch in launches])
        return None if value is None else round(value)

    return Memory(**{key: middle(key) for key in ("model", "stack", "peak", "anon", "file", "pss")})
