"""Slimmable networks: what each width loses beside the same width trained alone, and how small one delivery of all widths is.

    python -m benchmarks.slimmable [--case NAME]... [--seed N]... [--work FOLDER] [--quick]

A network like MLPerf Tiny's ResNet-8 (three residual stages, projections where the shape changes) is made slimmable, from
nothing, on Fashion-MNIST and on the 15,000 images of CIFAR-10 that are there; and the same network is trained alone at each
width, with the same settings, for as many epochs. All are compared on the test images. Cases differ in images, epochs, and
options of the step; the first three, which have its usual ones, are held to the bar. A training that was interrupted goes on
in its folder of work; one that was finished there is not repeated. ``--quick`` takes few images and records nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgekit as ek
from benchmarks import lottery, networks
from benchmarks.checks import Check, conclude, table
from benchmarks.seeded import Figures, SeededFigures, asked
from edgekit.ir import Graph

WIDTHS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Case:
    """How the widths are trained together: for how many epochs (alone, for as many), and with which options of the step.

    ``images``: "cifar10" or "fashion_mnist"; ``lr`` and ``precision``: of the training, alone as together; ``held``: the case
    is held to the bar, others show what its options are good for.
    """

    epochs: int
    images: str = "cifar10"
    lr: float = 0.1
    precision: str = "float32"
    batches: str = "auto"
    heads: str = "auto"
    sandwich: int | None = None
    gradients: str = "mean"
    held: bool = False

    def options(self) -> dict[str, Any]:
        """Of the step."""
        return {name: value for name, value in asdict(self).items() if name not in ("held", "images", "lr", "precision")}


CASES = {
    "Fashion-MNIST": Case(5, "fashion_mnist", held=True),
    "CIFAR-10": Case(60, lr=0.4, held=True),
    "CIFAR-10, fewer epochs": Case(20, held=True),
    "Fashion-MNIST, same batches": Case(5, "fashion_mnist", batches="shared"),
    "CIFAR-10, same batches": Case(60, lr=0.4, batches="shared"),
    "CIFAR-10, same batches, twice as long": Case(120, lr=0.4, precision="bfloat16", batches="shared"),
    "CIFAR-10, same batches, smaller steps": Case(60, batches="shared"),
    "CIFAR-10, same batches, fewer epochs": Case(20, batches="shared"),
    "CIFAR-10, same batches and last layers": Case(20, batches="shared", heads="shared"),
    "CIFAR-10, same batches and last layers, three sizes in a step": Case(20, batches="shared", heads="shared", sandwich=1),
    "CIFAR-10, same batches and last layers, sum of gradients": Case(10, batches="shared", heads="shared", gradients="sum"),
}

#: Points of top-1 that a width may be below the same width trained alone.
_BELOW = 1.0


class _Block(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, channels, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.second(torch.relu(self.norm1(self.first(x)))))
        return torch.relu(y + self.shortcut(x))


class ResNet8(nn.Module):
    """Like MLPerf Tiny's for image classification: a stem and three residual stages of 16, 32 and 64 channels."""

    def __init__(self, width: float = 1.0, colours: int = 3) -> None:
        super().__init__()
        a, b, c = (int(n * width) for n in (16, 32, 64))
        self.stem = nn.Sequential(nn.Conv2d(colours, a, 3, 1, 1, bias=False), nn.BatchNorm2d(a), nn.ReLU())
        self.stages = nn.Sequential(_Block(a, a, 1), _Block(a, b, 2), _Block(b, c, 2))
        self.head = nn.Linear(c, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


def main() -> int:
    """Train, measure, print, record; see the module's text."""
    options = asked(__doc__, "slimmable", CASES)
    figures = SeededFigures("slimmable", {}, list(CASES), _checks, _lines)
    for case, seed in options.runs():
        row = widths(CASES[case], seed, options.work, quick=options.quick)
        figures.add({"case": case, "seed": seed, **row}, keep=not options.quick)
    return 0 if options.quick else conclude(figures.checks)


def widths(case: Case, seed: int, work: Path, *, quick: bool) -> Figures:
    """Every width of one slimmable training, and alone."""
    data, case = _data(case.images, quick), replace(case, epochs=1) if quick else case
    rows: list[Figures] = []
    for width in WIDTHS:
        graph = alone(case, width, seed, work, data)
        rows.append({"width": width, "alone": graph.history[-1].metrics["top1"][1], "macs": graph.macs})
        print(rows[-1], flush=True)
    sizes = {row["width"]: row for row in slimmable(case, seed, work, data).history[-1].details["sizes"]}
    for row in rows:
        row["slimmable"] = sizes[row["width"]]["metrics"]["top1"]
    return {"epochs": case.epochs, "sizes": rows}


def alone(case: Case, width: float, seed: int, work: Path, data: ek.Data) -> Graph:
    """The network of one width, trained; taken from the folder of work where it was before."""
    options = {name: value for name, value in _settings(case, seed).options().items() if name != "epochs"}
    recipe = ek.Recipe([ek.FineTune(epochs=case.epochs, **options)])
    return recipe.apply(_network(case, width, seed), data, folder=_folder(case, work) / f"alone-{width}-{seed}")


def slimmable(case: Case, seed: int, work: Path, data: ek.Data) -> Graph:
    """The network of all widths, likewise."""
    step = ek.Slimmable(widths=WIDTHS, training=_settings(case, seed), **case.options())
    return ek.Recipe([step]).apply(_network(case, 1.0, seed), data, folder=_folder(case, work) / f"slimmable-{seed}")


def _folder(case: Case, work: Path) -> Path:
    return work / f"{case.images}-{case.epochs}-{case.lr:g}-{case.precision}"


def _network(case: Case, width: float, seed: int) -> Graph:
    torch.manual_seed(seed)
    shape = (2, 3, 32, 32) if case.images == "cifar10" else (2, 1, 28, 28)
    return ek.load(ResNet8(width, shape[1]), (torch.zeros(shape),))


def _settings(case: Case, seed: int) -> ek.Training:
    return ek.Training(
        optimizer="sgd",
        lr=case.lr,
        warmup=0.5,
        batch_size=128,
        augment="flip_crop",
        seed=seed,
        validation=0.0,
        precision=case.precision,
    )


def _data(images: str, quick: bool) -> ek.Data:
    if images == "cifar10":
        train, test = networks.images("train"), networks.images("test")
    else:
        train, test = lottery.images()
    if quick:
        train, test = (train[0][:600], train[1][:600]), (test[0][:300], test[1][:300])
    return ek.Data(train=train, evaluate=test)


def _checks(rows: Sequence[Figures]) -> list[Check]:
    """Means of seeds: of one network and 5,000 test images about 0.7 points are chance."""
    checks = []
    for name, case in CASES.items():
        found = [row for row in rows if row["case"] == name] if case.held else []
        seeds = ", ".join(str(row["seed"]) for row in found)
        for index, width in enumerate(WIDTHS if found else ()):
            below = statistics.mean(_below(row["sizes"][index]) for row in found)
            checks.append(Check(f"{name}: width {width:g}, seeds {seeds}", "points below alone", below, _BELOW, "<="))
    return checks


def _below(one: Figures) -> float:
    """Points; rounded, because 0.685 - 0.675 is a little more than 0.01 in binary."""
    return round(100 * float(one["alone"] - one["slimmable"]), 6)


def _lines(rows: Sequence[Figures]) -> list[str]:
    """The tables of README.md."""
    shown = []
    for name, case in CASES.items():
        rounded = "" if case.precision == "float32" else f", {case.precision}"
        found = [row["sizes"] for row in rows if row["case"] == name]
        for index, width in enumerate(WIDTHS if found else ()):
            sizes = [each[index] for each in found]
            shown.append(
                {
                    "training": f"{name}, {case.epochs} epochs{rounded}",
                    "lr": f"{case.lr:g}",
                    "width": f"{width:g}",
                    "MACs": f"{sizes[0]['macs']:,}",
                    "top-1 % alone": _mean([100 * one["alone"] for one in sizes]),
                    "slimmable": _mean([100 * one["slimmable"] for one in sizes]),
                    "below": _mean([_below(one) for one in sizes]),
                }
            )
    return [*table(shown), "", "A ResNet-8-like network, as many epochs alone as together; means (and ranges) of seeds."]


def _mean(values: Sequence[float], digits: int = 2) -> str:
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
