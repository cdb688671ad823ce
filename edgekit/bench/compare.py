"""The regression gate: a new session against an older one's JSON. A change is claimed only where the interval excludes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from edgekit.bench.measurement import Measurement
from edgekit.bench.statistics import Change, Estimate, change_of, ratio_of_sessions
from edgekit.errors import InputError

SCHEMA = "edgekit.bench/1"
#: Memory is read in pages and allocators round up: smaller differences are not the model's.
_MEMORY_GRAIN_KIB = 64
#: The fixed loop's speed may differ this much between the sessions before the machine itself counts as changed.
_SAME_SPEED = 0.05


@dataclass(frozen=True)
class Finding:
    """One metric of one artifact, old and new.

    Attributes:
        artifact: the new file.
        metric: latency_us.median, instructions.per_inference, memory.model_kib or model.bytes.
        old, new: the values.
        ratio: new / old; an exact metric's interval is empty.
        change: SLOWER stands for larger in every metric.
        note: why the metric could not be compared, where it could not.
    """

    artifact: Path
    metric: str
    old: float | None
    new: float | None
    ratio: Estimate | None
    change: Change
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All findings against one older file."""

    against: Path
    findings: tuple[Finding, ...]


def compare(against: Path, results: Sequence[Measurement], on: str, margin: float = 0.02) -> Comparison:
    """Compare with an older session, artifact by artifact (by file name; a single one in both files needs no equal name).

    Raises:
        InputError: the older file is not an ``edgekit.bench/1`` document, or has none of these artifacts.
    """
    document = read_document(against)
    old = {Path(entry["model"]["path"]).name: entry for entry in document["results"]}
    if len(old) == len(results) == 1:
        old = {results[0].artifact.name: next(iter(old.values()))}
    findings: list[Finding] = []
    for result in results:
        entry = old.get(result.artifact.name)
        if entry is None:
            hint = f"it has {', '.join(sorted(old))}"
            raise InputError(f"the older session did not measure '{result.artifact.name}'", where=against, hint=hint)
        findings += _findings(result, entry, document["on"] == on, margin)
    return Comparison(against, tuple(findings))


def read_document(path: Path) -> Mapping[str, Any]:
    """A session's JSON; InputError for anything else."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read the older session: {error}", where=path, hint="edgekit bench ... --json > old.json"
        ) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise InputError(f"this is not a benchmark session (schema {found!r})", where=path, hint=f"it must be {SCHEMA}")
    return document


def _findings(result: Measurement, entry: Mapping[str, Any], same_device: bool, margin: float) -> list[Finding]:
    metrics = entry["metrics"]
    found = [_exact(result.artifact, "model.bytes", entry["model"]["bytes"], result.bytes, margin)]
    latency = metrics.get("latency_us")
    if result.latency and latency:
        found.append(_latency(result, entry, latency, same_device, margin))
    counted = metrics.get("instructions")
    if result.count and counted:
        key = f"{counted['cpu']}/{counted['runtime']}"
        if key != result.count.key:
            note = f"counted on {key}, now on {result.count.key}"
            found.append(_not_comparable(result.artifact, "instructions.per_inference", note))
        else:
            old, new = counted["per_inference"], result.count.per_inference
            found.append(_exact(result.artifact, "instructions.per_inference", old, new, margin))
    memory = metrics.get("memory")
    if result.memory and memory and result.memory.model is not None and memory["model_kib"] is not None and same_device:
        old, new = memory["model_kib"], result.memory.model
        if abs(new - old) <= _MEMORY_GRAIN_KIB:
            old = new
        found.append(_exact(result.artifact, "memory.model_kib", old, new, margin))
    return found


def _latency(
    result: Measurement, entry: Mapping[str, Any], latency: Mapping[str, Any], same_device: bool, margin: float
) -> Finding:
    assert result.latency is not None
    headline, name = result.latency.headline, "latency_us.median"
    differing = [
        key
        for key, value in (*result.runtime, ("mode", result.mode))
        if key in ("name", "version", "threads", "machine", "mode")
        and {**entry["runtime"], "mode": entry["mode"]}.get(key) != value
    ]
    if not same_device:
        return _not_comparable(result.artifact, name, "the older session ran on another device")
    if differing:
        return _not_comparable(result.artifact, name, f"the older session had another {', '.join(differing)}")
    kind = latency.get("calls", headline.calls.value)
    if kind != headline.calls.value:
        note = f"the older figure is of {kind} calls, this one of {headline.calls.value} calls"
        return _not_comparable(result.artifact, name, note)
    old_speed = entry["stability"]["sentinel_us"]
    if old_speed and result.sentinel_us and abs(result.sentinel_us / old_speed - 1) > _SAME_SPEED:
        shift = result.sentinel_us / old_speed - 1
        note = f"the machine itself runs a fixed loop {abs(shift):.0%} {'slower' if shift > 0 else 'faster'} than then"
        return _not_comparable(result.artifact, name, note)
    scale = latency["median"] / median(latency["launch_medians"])  # the older figure is the stated one, whoever wrote it
    ratio = ratio_of_sessions([scale * launch for launch in latency["launch_medians"]], headline.medians)
    return Finding(result.artifact, name, latency["median"], result.latency.median.value, ratio, change_of(ratio, margin))


def _exact(artifact: Path, metric: str, old: float, new: float, margin: float) -> Finding:
    """A metric without noise: the margin is what may change without the gate closing."""
    ratio = new / old if old > 0 else (1.0 if new <= 0 else float("inf"))
    estimate = Estimate(ratio, ratio, ratio, 1.0)
    return Finding(artifact, metric, old, new, estimate, change_of(estimate, margin))


def _not_comparable(artifact: Path, metric: str, note: str) -> Finding:
    return Finding(artifact, metric, None, None, None, Change.INCONCLUSIVE, note)
