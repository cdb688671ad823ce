"""ResNet-20 at half its MACs: what structured pruning loses, by criterion and seed, beside its controls.

    python -m benchmarks.pruning [--case NAME]... [--seed N]... [--quick]

Every case removes channels until half of the MACs are left, then trains with the unpruned network as the teacher on 15,000
images, and is judged once on the test images, in float; those trained to the end also as an int8 file in LiteRT. The criteria
stand side by side after a short training. The controls: channels chosen at random, and the shape that "fpgm" arrives at,
trained from new initial weights for as many epochs, with and without the teacher. Each case is recorded as it ends, in
``results/pruning.json``, so that the table fills up over many calls. ``--quick`` takes one epoch of few images and records
nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import Check, conclude, table
from benchmarks.networks import RESNET20
from benchmarks.rewrites import top1
from benchmarks.seeded import Figures, SeededFigures, asked
from edgekit.bench.qemu import count_instructions
from edgekit.compress.context import Context
from edgekit.compress.prune.step import NEEDS
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact
from edgekit.train.fresh import untrained

Array = NDArray[Any]

_LR, _BATCH = 0.008, 64
#: Of new initial weights, which have further to go.
_LR_FROM_SCRATCH = 0.1
_TEACHER = ek.Distillation(temperature=4.0, alpha=0.9)


@dataclass(frozen=True)
class Case:
    """A way to half of the MACs.

    Attributes:
        criterion: of the channels.
        epochs: of training.
        keeps: the weights that are left are trained further, or are drawn anew.
        teacher: of this training.
    """

    criterion: str
    epochs: int
    keeps: bool = True
    teacher: ek.Distillation | None = _TEACHER

    @property
    def is_whole(self) -> bool:
        """Trained to the end: worth an int8 file."""
        return self.epochs == _WHOLE


_WHOLE, _SHORT = 15, 2
CASES = {
    "fpgm": Case("fpgm", _WHOLE),
    "from scratch": Case("fpgm", _WHOLE, keeps=False, teacher=None),
    "from scratch, teacher": Case("fpgm", _WHOLE, keeps=False),
    **{f"{criterion}, short": Case(criterion, _SHORT) for criterion in NEEDS},
    "fpgm, short, no teacher": Case("fpgm", _SHORT, teacher=None),
}
#: Points of top-1 that the int8 file may lose against the unpruned network in float; CPU minutes of training.
_DROP, _MINUTES = 2.0, 15.0


def main() -> int:
    """Prune, train, measure, print, record; see the module's text."""
    options = asked(__doc__, "pruning", CASES, usual=["fpgm"])
    graph = ek.load(RESNET20.module(), example_inputs=(torch.zeros(1, 3, 32, 32),))
    train, test = networks.images("train"), networks.images("test")
    if options.quick:
        train, test = (train[0][:640], train[1][:640]), (test[0][:200], test[1][:200])
    base = _base(graph, *test)
    context = {"unpruned": base, "settings": _settings()}
    figures = SeededFigures("pruning", context, list(CASES), partial(_checks, base), partial(_lines, base))
    for name, seed in options.runs():
        row = _measured(graph, CASES[name], seed, train, test, options.quick)
        figures.add({"case": name, "seed": seed, **row}, keep=not options.quick)
    return 0 if options.quick else conclude(figures.checks)


def _settings() -> Figures:
    rates = {"lr": _LR, "lr_from_scratch": _LR_FROM_SCRATCH, "batch_size": _BATCH}
    return {**rates, "distillation": asdict(_TEACHER)}


def _base(graph: Graph, x: Array, y: Array) -> Figures:
    return {"macs": graph.macs, "parameters": graph.parameters, "top1": top1(graph, x, y), **_file(graph, x, y)}


def _measured(
    graph: Graph, case: Case, seed: int, train: tuple[Array, Array], test: tuple[Array, Array], quick: bool
) -> Figures:
    """One case: pruned, trained and, in the end, exported."""
    data, epochs = ek.Data(train=train), 1 if quick else case.epochs
    pruned = ek.Prune(macs=0.5, criterion=case.criterion, reestimate=True, seed=seed).apply(graph, data)
    start = pruned if case.keeps else untrained(pruned, seed)
    tune = ek.FineTune(
        epochs=epochs,
        optimizer="sgd",
        lr=_LR if case.keeps else _LR_FROM_SCRATCH,
        nesterov=True,
        warmup=min(1.0, epochs / 4),
        batch_size=_BATCH,
        augment="flip_crop",
        validation=0.0,
        seed=seed,
        distillation=case.teacher,
    )
    began = time.process_time()
    # The teacher "source" is the network that a recipe was given: for a new start, too, the trained one.
    small = tune.apply(start, data, context=Context(source=graph))
    minutes = (time.process_time() - began) / 60
    return {
        "epochs": epochs,
        "macs": small.macs,
        "parameters": small.parameters,
        "before": top1(start, *test),
        "top1": top1(small, *test),
        "cpu_minutes": round(minutes, 2),
        **(_file(small, *test) if case.is_whole else {}),
    }


def _file(graph: Graph, x: Array, y: Array) -> Figures:
    """The int8 file: its size, top-1, and instructions for one image where they can be counted."""
    with tempfile.TemporaryDirectory(prefix="edgekit-pruning-") as folder:
        built = ek.build(graph, target="tflite-int8", calibration=RESNET20.samples(256, 1), output=Path(folder), name="net")
        right = Artifact(built.artifact).run(x).argmax(1) == y
        return {
            "bytes": built.artifact.stat().st_size,
            "top1_int8": float(np.mean(right)),
            "instructions": count_instructions(built.artifact, "cortex-a53"),
        }


def _checks(base: Figures, rows: Sequence[Figures]) -> list[Check]:
    out = []
    for row in rows:
        subject = f"{row['case']}, seed {row['seed']}"
        out.append(Check(subject, "share of the MACs", row["macs"] / base["macs"], 0.5, "<="))
        if row["case"] == "fpgm":
            out.append(Check(subject, "instructions / unpruned", row["instructions"] / base["instructions"], 1.0, "<="))
            out.append(Check(subject, "points lost in int8", 100 * (base["top1"] - row["top1_int8"]), _DROP, "<="))
            out.append(Check(subject, "CPU minutes of training", row["cpu_minutes"], _MINUTES, "<="))
    return out


def _lines(base: Figures, rows: Sequence[Figures]) -> list[str]:
    """The table of README.md: one row a case, over its seeds."""
    shown = [_shown("unpruned", [base], base)]
    for case in CASES:
        found = [row for row in rows if row["case"] == case]
        if found:
            shown.append(_shown(case, found, base))
    return [
        *table(shown),
        "",
        f"Top-1 on {len(networks.images('test')[1]):,} test images, in percent, mean over seeds (and range).",
        "Instructions: one call on an emulated Cortex-A53.",
    ]


def _shown(case: str, rows: Sequence[Figures], base: Figures) -> dict[str, str]:
    def percent(key: str) -> str:
        values = [100 * row[key] for row in rows if key in row]
        if not values:
            return ""
        spread = "" if len(values) == 1 else f" ({min(values):.2f} to {max(values):.2f})"
        return f"{statistics.mean(values):.2f}{spread}"

    def mean(key: str) -> float | None:
        values = [row[key] for row in rows if key in row]
        return statistics.mean(values) if values else None

    instructions, size, minutes = mean("instructions"), mean("bytes"), mean("cpu_minutes")
    return {
        "case": case,
        "epochs": str(rows[0].get("epochs", "")),
        "seeds": str(len(rows)) if "seed" in rows[0] else "",
        "MACs": f"{statistics.mean(row['macs'] for row in rows) / base['macs']:.3f}",
        "before training": percent("before"),
        "float": percent("top1"),
        "int8": percent("top1_int8"),
        "bytes": "" if size is None else f"{size:,.0f}",
        "instructions": ""
        if instructions is None
        else f"{instructions / 1e6:.2f} M ({instructions / base['instructions']:.2f})",
        "CPU min": "" if minutes is None else f"{minutes:.1f}",
    }


def _millions(instructions: float, base: Figures) -> str:
    return f"{instructions / 1e6:.2f} M ({instructions / base['instructions']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
