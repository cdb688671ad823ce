"""Launches that are scripted instead of run, so that statistics are tested without waiting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.bench.launch import Kernels, Launch, Memory, Undisturbed


def launch(headline_us: float, sentinel: tuple[float, float] | None = (60.0, 60.0), **other: object) -> Launch:
    """A launch whose median call takes ``headline_us``."""
    values: dict[str, object] = {
        "median_us": headline_us,
        "percentiles": {"p50": headline_us, "p90": headline_us * 1.1, "p95": headline_us * 1.2, "p99": headline_us * 1.5},
        "samples": 1000,
        "mad_us": headline_us / 50,
        "init_us": 20000.0,
        "first_us": headline_us * 3,
        "import_us": 5000.0,
        "cpu_us": headline_us,
        "memory": Memory(model=1024, stack=9000, peak=50000, anon=20000, file=30000, pss=49000),
        "kernels": Kernels("XNNPACK", 10),
        "runtime": {
            "name": "litert",
            "version": "2.3.0",
            "numpy": "2.4.6",
            "python": "3.11.7",
            "machine": "x86_64",
            "threads": "1",
        },
        "model_sha256": "ab" * 32,
        "output_sha256": "cd" * 32,
        "golden": None,
        "sentinel_us": sentinel,
        "sentinel_fastest_us": min(sentinel) if sentinel else None,
        "clock_overhead_ns": 80.0,
    }
    return Launch(**(values | other))  # type: ignore[arg-type]


def watched(all_us: float, quiet_us: float | None, *, full_us: float = 10.0, calls: int = 40) -> Launch:
    """A launch on a shared host, of which ``calls`` calls were undisturbed (none where ``quiet_us`` is None)."""
    return launch(all_us, undisturbed=Undisturbed(full_us, calls if quiet_us else 0, quiet_us))


class Scripted:
    """An executor whose launches of arm ``a`` take ``times[a](i)`` microseconds."""

    def __init__(self, *times: Callable[[int], float]) -> None:
        self.times = times
        self.calls: list[int] = []

    def launch(self, arm: int) -> Launch:
        self.calls.append(arm)
        return launch(self.times[arm](self.calls.count(arm) - 1))


def busy_machine(seed: int, middle_us: float = 50.0) -> list[Callable[[int], float]]:
    """Per-launch medians as on a machine with both cores loaded: most agree within 3 %, one in five is far off, all drift.

    A single launch varies by 17 to 22 % and the median of ten by 1.5 to 3.5 %, as was measured on such a machine (a test holds
    the model to it). Returns two arms of the same true cost; the launches of one round meet the same drift.
    """
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0, 0.002, 64))

    def arm() -> Callable[[int], float]:
        bulk = rng.lognormal(0, 0.03, size=64)
        luck = rng.random(64)
        disturbed = np.where(luck < 0.15, rng.uniform(1.2, 2.2, 64), np.where(luck > 0.95, 0.83, 1.0))
        return lambda i: float(middle_us * np.exp(drift[i]) * bulk[i] * disturbed[i])

    return [arm(), arm()]
