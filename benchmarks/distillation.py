"""Where a teacher helps its student and where it does not, on Fashion-MNIST.

    python -m benchmarks.distillation [--quick]

Three regimes, three seeds each, the same student, optimizer and number of steps with and without the teacher; the last epoch
counts, on the 10,000 test images, which nothing else looks at. The seed decides which images have labels, the initial weights
and the order.

few labels: a network with hidden layers of 300 and 100 units that has 600 labels, 1 % of the training images. The teacher is a
    small convolutional network that was trained with 39,400 other labelled images. It is asked either about the same 600 images
    or about 20,000 more without label; it has seen none of them.
all labels, small student: 30 and 30 units. The same teacher is much better than the student, which is too small to follow.
all labels, weak teacher: the same student; the teacher is a copy of it that was trained for one epoch, and is worse.

``--quick`` runs one seed and records nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.networks import DATA
from edgekit.train import Training
from edgekit.train.distillation import Distillation
from edgekit.train.loop import train

LABELS, UNLABELLED = 600, 20_000
#: Training images that the teacher learns from; the students with few labels take theirs from the others.
TEACHERS = 60_000 - LABELS - UNLABELLED
SEEDS = (0, 1, 2)
#: Samples that every training of the first regime sees.
SEEN = 120_000

Arrays = tuple[np.ndarray, np.ndarray]


class Units(nn.Module):
    """Fully connected layers with ReLU between."""

    def __init__(self, *hidden: int) -> None:
        super().__init__()
        widths = [784, *hidden, 10]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(1)
        for layer in self.layers[:-1]:
            y = F.relu(layer(y))
        return self.layers[-1](y)


class Convolutions(nn.Module):
    """Three convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        )
        self.drop, self.classifier = nn.Dropout(0.3), nn.Linear(64 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.drop(self.features(x).flatten(1)))


@dataclass(frozen=True)
class Row:
    """One way of training: test accuracies in per cent by seed."""

    regime: str
    training: str
    top1: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the seeds."""
        return statistics.mean(self.top1)

    @property
    def spread(self) -> float:
        """Sample standard deviation over the seeds; 0 for one."""
        return statistics.stdev(self.top1) if len(self.top1) > 1 else 0.0


def fashion_mnist() -> tuple[Arrays, Arrays]:
    """Training and test images (N, 1, 28, 28), standardised, with their classes."""
    with np.load(DATA / "fashion_mnist.npz") as arrays:
        parts = [(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
    first, second = [(((x[:, None] / np.float32(255)) - 0.286) / 0.353, y.astype(np.int64)) for x, y in parts]
    return (first[0].astype(np.float32), first[1]), (second[0].astype(np.float32), second[1])


def made(seed: int, kind: type[nn.Module], *widths: int) -> ek.Graph:
    """A network with the initial weights of a seed."""
    torch.manual_seed(seed)
    return ek.load(kind(*widths), example_inputs=(torch.zeros(1, 1, 28, 28),))


def top1(graph: ek.Graph, data: Arrays) -> float:
    """Accuracy in per cent."""
    module = graph.module().eval()
    with torch.no_grad():
        right = sum(
            int((module(x).argmax(1) == y).sum()) for x, y in zip(*(torch.from_numpy(a).split(500) for a in data), strict=True)
        )
    return 100 * right / len(data[1])


def trained(
    graph: ek.Graph, data: Arrays, settings: Training, distil: Distillation | None = None, teacher: ek.Graph | None = None
) -> ek.Graph:
    """Trained with or without a teacher."""
    objective = None if distil is None or teacher is None else distil.objective(graph, [teacher], settings)
    return train(graph, data, settings, objective).graph


def few_labels(seed: int, train_part: Arrays, teacher: ek.Graph) -> dict[str, ek.Graph]:
    """The student with 600 labels, in three ways."""
    x, y = (array[TEACHERS:] for array in train_part)
    order = np.random.default_rng(seed).permutation(len(x))
    some = np.sort(np.concatenate([order[y[order] == label][: LABELS // 10] for label in range(10)]))
    more = np.setdiff1d(order, some)
    few = x[some], y[some]
    many = np.concatenate([x[some], x[more]]), np.concatenate([y[some], np.full(len(more), -100)])

    def settings(count: int) -> Training:
        return Training(epochs=round(SEEN / count), batch_size=100, lr=1e-3, seed=seed, validation=0.0)

    student, soft = made(seed, Units, 300, 100), Distillation(temperature=4.0, alpha=0.9)
    return {
        "600 labels": trained(student, few, settings(len(few[0]))),
        "600 labels, teacher on the same images": trained(student, few, settings(len(few[0])), soft, teacher),
        "600 labels, teacher on 20,000 more": trained(student, many, settings(len(many[0])), soft, teacher),
    }


def all_labels(seed: int, train_part: Arrays, good: ek.Graph) -> dict[str, dict[str, ek.Graph]]:
    """A small student with all labels: alone, with the good teacher, and with one that is worse than itself."""
    settings = Training(epochs=5, batch_size=100, lr=1e-3, seed=seed, validation=0.0)
    student, soft = made(seed, Units, 30, 30), Distillation(temperature=4.0, alpha=0.9)
    gentle = Distillation(temperature=2.0, alpha=0.5)
    weak = trained(made(seed + 100, Units, 30, 30), train_part, Training(epochs=1, batch_size=100, lr=1e-3, validation=0.0))
    alone = trained(student, train_part, settings)
    return {
        "all labels, small student": {
            "60,000 labels": alone,
            "60,000 labels, good teacher": trained(student, train_part, settings, soft, good),
            "the same, T = 2 and alpha = 0.5": trained(student, train_part, settings, gentle, good),
        },
        "all labels, weak teacher": {
            "the weak teacher itself": weak,
            "60,000 labels": alone,
            "60,000 labels, weak teacher": trained(student, train_part, settings, soft, weak),
        },
    }


def main() -> int:
    """Measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    began = time.process_time()
    train_part, test_part = fashion_mnist()
    lessons = train_part[0][:TEACHERS], train_part[1][:TEACHERS]
    teacher = trained(made(7, Convolutions), lessons, Training(epochs=6, batch_size=100, lr=2e-3, seed=7, validation=0.0))
    teacher_top1 = top1(teacher, test_part)
    print(f"teacher: {teacher_top1:.2f} %  ({time.process_time() - began:.0f} CPU s)", flush=True)
    found: dict[tuple[str, str], list[float]] = {}
    for seed in SEEDS[:1] if quick else SEEDS:
        regimes = {"few labels": few_labels(seed, train_part, teacher), **all_labels(seed, train_part, teacher)}
        for regime, ways in regimes.items():
            for way, graph in ways.items():
                found.setdefault((regime, way), []).append(top1(graph, test_part))
                print(f"  seed {seed}, {regime}, {way}: {found[regime, way][-1]:.2f} %", flush=True)
    rows = [Row(regime, way, tuple(values)) for (regime, way), values in found.items()]
    seconds = time.process_time() - began
    checks = _checks(rows)
    if not quick:
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "cpu_seconds": round(seconds)}
        versions = {name: metadata.version(name) for name in ("torch", "numpy")}
        results = [{**asdict(row), "mean": round(row.mean, 3), "spread": round(row.spread, 3)} for row in rows]
        record(
            "distillation", {"machine": machine, "versions": versions, "teacher_top1": teacher_top1, "results": results}, checks
        )
        into_readme("distillation", _lines(rows, teacher_top1, seconds))
    return conclude(checks)


def _checks(rows: Sequence[Row]) -> list[Check]:
    by_way = {(row.regime, row.training): row for row in rows}
    alone = by_way["few labels", "600 labels"]
    more = by_way["few labels", "600 labels, teacher on 20,000 more"]
    return [
        Check("few labels", "points gained by a teacher on images without label, mean", more.mean - alone.mean, 2.0, ">="),
        Check("few labels", "the same, worst seed", min(b - a for a, b in zip(alone.top1, more.top1, strict=True)), 0.0, ">="),
    ]


def _lines(rows: Sequence[Row], teacher: float, seconds: float) -> list[str]:
    cells = [
        {
            "regime": row.regime,
            "training": row.training,
            "top-1 %, mean": f"{row.mean:.2f}",
            "spread": f"{row.spread:.2f}",
            "seeds": ", ".join(f"{value:.2f}" for value in row.top1),
        }
        for row in rows
    ]
    notes = [
        f"T = 4 and alpha = 0.9 where nothing is said. The good teacher has {teacher:.2f} %.",
        f"Spread: sample standard deviation. {seconds / 60:.0f} CPU minutes in all.",
    ]
    return [*table(cells), "", *notes]


if __name__ == "__main__":
    raise SystemExit(main())
