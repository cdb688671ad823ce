"""``--profile``: the operator profile of artifacts on a device, and how it is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.bench.launch import read_answer
from edgekit.bench.transport.base import Transport
from edgekit.errors import InputError

SCHEMA = "edgekit.profile/1"


@dataclass(frozen=True)
class OpTime:
    """An operator, as the runtime names it, and microseconds per call."""

    name: str
    microseconds: float


def profile(transport: Transport, artifact: Path, *, python: str, threads: int = 1) -> list[OpTime]:
    """Time per operator in execution order; slower than a benchmark, so only the shares mean something.

    Raises:
        InputError: the file is missing or does not run. DeviceError: the device or its runtime failed.
    """
    if not artifact.is_file():
        raise InputError(f"no file '{artifact}'", where="the command line", hint="check the path")
    script = transport.put(Path(__file__).with_name("op_profile.py"))
    finished = transport.run([python, script, transport.put(artifact), str(threads)], limit=300)
    answer = read_answer(finished.stdout, finished.stderr, finished.exit, where=f"{artifact}, on {transport.name}")
    return [OpTime(str(name), float(us)) for name, us in answer["rows"]]


def as_json(profiles: Sequence[tuple[Path, list[OpTime]]]) -> str:
    """``edgekit.profile/1``."""
    results = [
        {"model": str(path), "ops": [{"name": row.name, "us": row.microseconds} for row in rows]} for path, rows in profiles
    ]
    return json.dumps({"schema": SCHEMA, "results": results}, indent=2)


def as_text(profiles: Sequence[tuple[Path, list[OpTime]]]) -> str:
    """A table per artifact: share, time, operator."""
    lines = []
    for path, rows in profiles:
        total = sum(row.microseconds for row in rows) or 1.0
        lines.append(f"{path.name}: {total:.1f} us in operators, profiler included")
        lines += [f"  {row.microseconds / total:6.1%}  {row.microseconds:9.2f} us  {row.name}" for row in rows]
    return "\n".join(lines)
