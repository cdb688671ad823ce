"""Masks learned on an untrained LeNet-300-100, on Fashion-MNIST: no weight is ever trained, only which of them live is.

    python -m benchmarks.supermasks [--quick]

The data of ``benchmarks.lottery``, and its network without biases. A tenth of the training images (of every class) chooses
the best epoch and the shared value; the 10,000 test images are looked at once. The seed decides the initial weights, the scores
and the order. ``--quick`` runs one seed and records nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.lottery import Arrays, LeNet, images

SEEDS = (0, 1, 2)
EPOCHS = 5

#: Bar: top-1 of a learned mask on an untrained network, in per cent. One shared value has none: it is reported as it comes.
LEARNED = 75.0

CONSTANTS, SHARED = "learned mask, signs times a constant", "learned mask, one value for all weights"

#: Row of the table -> the step that finds it.
STEPS: dict[str, Mapping[str, Any]] = {
    "learned mask, initial weights": {},
    CONSTANTS: {"weights": "signed_constant"},
    "half of the weights by learned scores, signs times a constant": {"weights": "signed_constant", "method": "top_k"},
    SHARED: {"weights": "shared", "method": "top_k"},
}


def search(step: ek.Supermask, train: Arrays, test: Arrays) -> Mapping[str, Any]:
    """The record's details of one search, without the curve."""
    graph = ek.load(LeNet(), (torch.zeros(1, 1, 28, 28),))
    details = step.apply(graph, ek.Data(train=train, evaluate=test)).history[-1].details
    return {key: value for key, value in details.items() if key not in ("epochs", "zeros")}


def main() -> int:
    """Runs, checks and records; 1 where a figure misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    seeds = SEEDS[:1] if parser.parse_args().quick else SEEDS
    torch.set_num_threads(1)
    started = time.process_time()
    train, test = images()
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name, options in STEPS.items():
        for seed in seeds:
            found.setdefault(name, []).append(search(ek.Supermask(epochs=EPOCHS, seed=seed, **options), train, test))
            print(f"{name}, seed {seed}: {found[name][-1]['supermask']}", flush=True)
    seconds = time.process_time() - started
    worst = 100 * min(details["supermask"]["top1"] for details in found[CONSTANTS])
    checks = [Check("LeNet-300-100, untrained", f"top-1 % of the {CONSTANTS}, worst seed", worst, LEARNED, ">=")]
    lines = _lines(found, seconds)
    print("\n".join(lines))
    if len(seeds) == len(SEEDS):
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "cpu_seconds": round(seconds)}
        versions = {name: metadata.version(name) for name in ("torch", "numpy")}
        record("supermasks", {"machine": machine, "versions": versions, "epochs": EPOCHS, "searches": found}, checks)
        into_readme("supermasks", lines)
    return conclude(checks)


def _lines(found: Mapping[str, list[Mapping[str, Any]]], seconds: float) -> list[str]:
    plain = [100 * details["untrained"]["top1"] for details in found["learned mask, initial weights"]]
    cells = [_cells("no mask", plain, None)]
    for name, rows in found.items():
        left = statistics.mean(1 - details["sparsity"] for details in rows)
        cells.append(_cells(name, [100 * details["supermask"]["top1"] for details in rows], left))
    one = found[SHARED][0]["one_weight"]
    values = ", ".join(f"{row['value']:g}: {100 * row['top1']:.2f}" for row in one["values"])
    ensemble, tuned = 100 * one["ensemble"]["top1"], one["tuned"]
    notes = [
        f"Seed 0 at each shared value (in units of 1 / sqrt(fan_in)), {values}; mean {100 * one['mean']['top1']:.2f}, ensemble "
        f"{ensemble:.2f}, tuned to {tuned['value']:.3g} {100 * tuned['top1']:.2f}: without biases a positive value only scales "
        "the logits of a ReLU network.",
        f"{EPOCHS} epochs each, {seconds / 60:.0f} CPU minutes in all.",
    ]
    return [*table(cells), "", *notes]


def _cells(name: str, top1: list[float], left: float | None) -> dict[str, str]:
    return {
        "LeNet-300-100, untrained": name,
        "weights left": "all" if left is None else f"{left:.0%}",
        "top-1 %, mean": f"{statistics.mean(top1):.2f}",
        "seeds": ", ".join(f"{value:.2f}" for value in top1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
