"""What a budget of multiply-accumulates leaves of the instructions, and one of instructions of the multiply-accumulates.

    python -m benchmarks.measured_budgets

ResNet-20, pruned in one shot by FPGM to a share of either; ARM64 instructions of the int8 TFLite file on an emulated core,
which are the same on every machine. No accuracy is looked at: ``benchmarks.pruning`` does that.
"""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from typing import Any

import torch

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.networks import RESNET20

SHARES = (0.8, 0.6, 0.4)
CPU = "cortex-a53"

#: Bars: the share of the budget that is used at least, and measurements at most.
USED, MEASURED = 0.95, 8


def main() -> int:
    """Runs, checks and records; 1 where a figure misses its bar."""
    torch.set_num_threads(1)
    graph = ek.load(RESNET20.module(softmax=False), (torch.zeros(1, 3, 32, 32),))
    data = ek.Data(calibration=RESNET20.samples(64, 0))
    rows, checks = [], []
    for share in SHARES:
        by_macs = ek.Prune(macs=share).apply(graph)
        rows.append(_row(f"macs = {share}", share, by_macs, graph, _instructions(by_macs, data), None, 0.0))
        started = time.perf_counter()
        counted = ek.Prune(instructions=share, on=f"qemu:{CPU}").apply(graph, data)
        found = counted.history[-1].details["measured"]
        seconds = time.perf_counter() - started
        tries = len(found["candidates"])
        rows.append(_row(f"instructions = {share}", share, counted, graph, found["after"], tries, seconds))
        rows[-1]["whole"] = rows[-2]["whole"] = found["before"]
        subject = f"ResNet-20, instructions = {share}"
        checks.append(Check(subject, "share of the instructions", found["share"], share, "<="))
        checks.append(Check(subject, "share of the budget that is used", found["share"] / share, USED, ">="))
        checks.append(Check(subject, "measurements", tries, MEASURED, "<="))
    lines = _lines(rows)
    print("\n".join(lines))
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    versions = {name: metadata.version(name) for name in ("torch", "ai-edge-litert")}
    record("measured_budgets", {"machine": machine, "versions": versions, "cpu": CPU, "rows": rows}, checks)
    into_readme("measured_budgets", lines)
    return conclude(checks)


def _instructions(graph: ek.Graph, data: ek.Data) -> int:
    """Of the file that a measured budget would be held against."""
    record_of = ek.Prune(instructions=1.0, on=f"qemu:{CPU}").apply(graph, data).history[-1]
    return int(record_of.details["measured"]["before"])


def _row(
    budget: str, share: float, small: ek.Graph, graph: ek.Graph, count: float, tries: int | None, seconds: float
) -> dict[str, Any]:
    macs = small.macs / graph.macs
    return {"budget": budget, "share": share, "macs": macs, "instructions": count, "measured": tries, "seconds": seconds}


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    cells = [
        {
            "ResNet-20, int8": row["budget"],
            "MACs left": f"{row['macs']:.1%}",
            "instructions left": f"{row['instructions'] / row['whole']:.1%}",
            "instructions": f"{row['instructions'] / 1e6:.2f} M",
            "measured": "" if row["measured"] is None else f"{row['measured']} candidates in {row['seconds']:.0f} s",
        }
        for row in rows
    ]
    whole = f"{rows[0]['whole'] / 1e6:.2f} M"
    return [*table(cells), "", f"ARM64 instructions per inference on an emulated {CPU}, LiteRT, one thread; {whole} before."]


if __name__ == "__main__":
    raise SystemExit(main())
