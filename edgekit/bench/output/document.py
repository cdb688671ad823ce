"""A session as the JSON document ``edgekit.bench/1``; its JSON Schema is ``edgekit/bench/schema/bench-1.json``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.bench.budget import Check
from edgekit.bench.compare import SCHEMA, Finding
from edgekit.bench.exits import ExitCosts
from edgekit.bench.launch import Memory
from edgekit.bench.measurement import Latency, Measurement
from edgekit.bench.qemu.counting import Count
from edgekit.bench.session import Pair, Session
from edgekit.bench.statistics import Estimate

#: The published schema.
SCHEMA_FILE = Path(__file__).parent.parent / "schema" / "bench-1.json"


def as_document(session: Session, *, version: str, exit_code: int) -> dict[str, Any]:
    """The session as plain data for ``json.dumps``."""
    return {
        "schema": SCHEMA,
        "edgekit": version,
        "started": session.started,
        "on": session.on,
        "place": session.place.name.lower(),
        "device": _device(session),
        "budget_device": session.device.name if session.device else None,
        "options": asdict(session.request) | {"stopping": asdict(session.stopping)},
        "results": [_result(result) for result in session.results],
        "comparisons": [_pair(pair) for pair in session.pairs],
        "regression": _regression(session),
        "warnings": list(session.warnings),
        "exit_code": exit_code,
    }


def _device(session: Session) -> dict[str, Any] | None:
    if session.facts is None or session.before is None or session.after is None:
        return None
    states = {"before": asdict(session.before), "after": asdict(session.after)}
    for state in states.values():
        state["thermal_c"] = [{"zone": zone, "celsius": celsius} for zone, celsius in state["thermal_c"]]
    return asdict(session.facts) | {"state": states}


def _result(result: Measurement) -> dict[str, Any]:
    return {
        "model": {"path": str(result.artifact), "sha256": result.sha256, "bytes": result.bytes},
        "mode": result.mode,
        "runtime": dict(result.runtime),
        "kernels": None
        if result.kernels is None
        else {
            "delegate": result.kernels.delegate,
            "delegated_ops": result.kernels.delegated_ops,
            "other_ops": dict(result.kernels.other_ops),
        },
        "metrics": {
            "latency_us": _latency(result.latency),
            "init_us": result.init_us,
            "first_us": result.first_us,
            "import_us": result.import_us,
            "memory": _memory(result.memory),
            "instructions": None if result.count is None else _count(result.count),
            "exits": None if result.exits is None else _exits(result.exits),
            "arena": asdict(result.arena) if result.arena else None,
            "soak": None
            if result.soak is None
            else asdict(result.soak) | {"window_median_us": list(result.soak.window_median_us)},
        },
        "output": {"sha256": result.output_sha256, "golden": asdict(result.golden) if result.golden else None},
        "stability": {"unstable": bool(result.unstable), "reasons": list(result.unstable), "sentinel_us": result.sentinel_us},
        "budget": {"checks": [_check(check) for check in result.checks]},
        "warnings": list(result.warnings),
    }


def _count(counted: Count) -> dict[str, Any]:
    """With what the exits of a file come to, where it has any."""
    found = asdict(counted) | {key: list(getattr(counted, key)) for key in ("calls", "notes", "paths", "rates")}
    return found | {"mean": counted.mean, "p90": counted.p90}


def _exits(exits: ExitCosts) -> dict[str, Any]:
    lists = {key: list(getattr(exits, key)) for key in ("rates", "top1_of_those", "us")}
    return asdict(exits) | lists | {"mean_us": exits.mean_us, "p90_us": exits.p90_us, "worst_us": exits.worst_us}


def _latency(latency: Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    return {
        "median": latency.median.value,
        "ci95": [latency.median.low, latency.median.high],
        "calls": latency.headline.calls.value,
        "p50": latency.p50,
        "p90": latency.p90,
        "p95": latency.p95,
        "p99": latency.p99,
        "mad": latency.mad,
        "cpu": latency.cpu,
        "launches": latency.launches,
        "samples": latency.samples,
        "disturbed_launches": latency.headline.disturbed,
        "launch_medians": list(latency.headline.medians),
    }


def _memory(memory: Memory | None) -> dict[str, Any] | None:
    return {f"{key}_kib": value for key, value in asdict(memory).items()} if memory else None


def _check(check: Check) -> dict[str, Any]:
    return asdict(check) | {"verdict": check.verdict.value}


def _ratio(ratio: Estimate | None) -> dict[str, Any] | None:
    return {"value": ratio.value, "ci99": [ratio.low, ratio.high]} if ratio else None


def _pair(pair: Pair) -> dict[str, Any]:
    return {"base": str(pair.base), "other": str(pair.other), "ratio": _ratio(pair.ratio), "change": pair.change.value}


def _regression(session: Session) -> dict[str, Any] | None:
    if session.comparison is None:
        return None
    return {
        "against": str(session.comparison.against),
        "margin": session.margin,
        "findings": [_finding(finding) for finding in session.comparison.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "model": str(finding.artifact),
        "metric": finding.metric,
        "old": finding.old,
        "new": finding.new,
        "ratio": _ratio(finding.ratio),
        "change": finding.change.value,
        "note": finding.note,
    }
