"""The lottery ticket on Fashion-MNIST: LeNet-300-100 with about 4 % of its weights, beside networks that could explain it.

    python -m benchmarks.lottery [--quick]

All 60,000 training images, Adam at a constant rate as in arXiv:1803.03635; the last epoch counts, on the 10,000 test images,
which nothing else looks at. The settings were fixed before the first run. The seed decides the initial weights and the order.
``--quick`` runs one seed and records nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import nn

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.networks import DATA

SEEDS = (0, 1, 2)
SPARSITY, ROUNDS, EPOCHS = 0.964, 6, 3

#: Bars: the share of weights that may be left, and points by which the ticket beats other initial weights.
LEFT, AHEAD = 0.05, 0.1

TICKET, REINIT = "ticket, trained", "its mask, other initial weights, trained"

Arrays = tuple[np.ndarray, np.ndarray]
Details = Mapping[str, Any]


class LeNet(nn.Sequential):
    """784-300-100-10 with ReLU between."""

    def __init__(self) -> None:
        layers = (nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        super().__init__(nn.Flatten(), *layers)


def images() -> tuple[Arrays, Arrays]:
    """Training and test part: (N, 1, 28, 28) float32 from 0 to 1, and labels."""
    with np.load(DATA / "fashion_mnist.npz") as file:
        parts = [(file[f"x_{p}"][:, None].astype(np.float32) / 255, file[f"y_{p}"].astype(np.int64)) for p in ("train", "test")]
    return parts[0], parts[1]


def search(seed: int, train: Arrays, test: Arrays) -> Details:
    """One search with all its controls; the record's details without the curves."""
    how = ek.Training(
        optimizer="adam", lr=1.2e-3, batch_size=128, schedule="constant", weight_decay=0.0, validation=0.0, seed=seed
    )
    step = ek.LotteryTicket(sparsity=SPARSITY, rounds=ROUNDS, epochs=EPOCHS, training=how, seed=seed)
    graph = ek.load(LeNet(), (torch.zeros(1, 1, 28, 28),))
    details = step.apply(graph, ek.Data(train=train, evaluate=test)).history[-1].details
    return {key: value for key, value in details.items() if key != "trainings"}


def _best(kind: str) -> Callable[[Details], float]:
    return lambda d: max(row["top1"] for row in d["supermask"] if row["mask"] == kind)


#: Row of the table -> its accuracy in a search.
ROWS: dict[str, Callable[[Details], float]] = {
    "dense, trained": lambda d: d["trained"]["dense"]["top1"],
    TICKET: lambda d: d["trained"]["ticket"]["top1"],
    REINIT: lambda d: d["trained"]["reinit"]["top1"],
    "its mask, signs times a constant, trained": lambda d: d["trained"]["signs"]["top1"],
    "untrained, no mask": _best("none"),
    "untrained, the ticket's mask": _best("ticket"),
    "untrained, best mask of signs": _best("same sign"),
    "untrained, best mask of signs, constants": _best("same sign, constants"),
    "untrained, the ticket's mask, one value (best of 6)": lambda d: max(row["top1"] for row in d["one_weight"]),
}


def main() -> int:
    """Runs, checks and records; 1 where a figure misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    seeds = SEEDS[:1] if parser.parse_args().quick else SEEDS
    torch.set_num_threads(1)
    started = time.process_time()
    train, test = images()
    found = []
    for seed in seeds:
        found.append(search(seed, train, test))
        print(f"seed {seed}: {found[-1]['trained']}", flush=True)
    seconds = time.process_time() - started
    top1 = {name: [100 * pick(details) for details in found] for name, pick in ROWS.items()}
    left = max(1 - details["sparsity"] for details in found)
    ahead = [a - b for a, b in zip(top1[TICKET], top1[REINIT], strict=True)]
    checks = [
        Check("LeNet-300-100", "share of weights left", left, LEFT, "<="),
        Check("LeNet-300-100", "points of the ticket before other initial weights, worst seed", min(ahead), AHEAD, ">="),
    ]
    lines = _lines(top1, left, ahead, seconds)
    print("\n".join(lines))
    if len(seeds) == len(SEEDS):
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "cpu_seconds": round(seconds)}
        versions = {name: metadata.version(name) for name in ("torch", "numpy")}
        record("lottery", {"machine": machine, "versions": versions, "left": left, "top1": top1, "searches": found}, checks)
        into_readme("lottery", lines)
    return conclude(checks)


def _lines(top1: Mapping[str, list[float]], left: float, ahead: list[float], seconds: float) -> list[str]:
    cells = [
        {
            "LeNet-300-100": name,
            "top-1 %, mean": f"{statistics.mean(values):.2f}",
            "seeds": ", ".join(f"{value:.2f}" for value in values),
        }
        for name, values in top1.items()
    ]
    notes = [
        f"{100 * left:.1f} % of the weights are left in all rows with a ticket's mask; {ROUNDS} rounds of {EPOCHS} epochs.",
        f"The ticket before other initial weights, seed by seed: {', '.join(f'{a:+.2f}' for a in ahead)} points.",
        "Of the masks of signs, one for each round, and of the shared values the one that is best on the test images is shown.",
        f"{seconds / 60:.0f} CPU minutes in all.",
    ]
    return [*table(cells), "", *notes]


if __name__ == "__main__":
    raise SystemExit(main())
