"""ResNet-20 with weights of 8, 4 and 2 bits: what quantisation-aware training gives back of what rounding takes.

    python -m benchmarks.qat [--case NAME]... [--seed N]... [--work FOLDER] [--quick]

Every case trains a few epochs on 15,000 images with the float network as the teacher, and is judged once on the test images:
before the training (calibrated, rounded to nearest from the same start), and afterwards in the exported file. The seed chooses
the calibration images, the order and the augmentation. A case takes about two CPU minutes an epoch; each is recorded as it
ends, in ``results/qat.json``, so that the table fills up over many calls, and one that was interrupted goes on in its folder of
work. ``--quick`` takes few images and records nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
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
from edgekit.ir import Graph, simulate
from edgekit.runtime.artifact import Artifact

Array = NDArray[Any]

_TRAINING = ek.Training(optimizer="sgd", lr=0.01, batch_size=64, nesterov=True, augment="flip_crop", validation=0.0)
_STEP = ek.QAT(epochs=2, freeze=0.5, training=_TRAINING, distillation=ek.Distillation(temperature=4.0, alpha=0.9))
#: Case -> the type of the weights; first and last layers have 8 bits, activations too.
CASES = {"W8A8": "int8", "W4A8": "int4", "W2A8": "int2"}
#: Points of top-1 that the exported file may lose against the float network.
_DROP = {"W4A8": 0.7}
_IDENTICAL = 32


def main() -> int:
    """Train, export, measure, print, record; see the module's text."""
    options = asked(__doc__, "qat", CASES, usual=["W4A8"])
    graph = ek.load(RESNET20.module(), example_inputs=(torch.zeros(1, 3, 32, 32),))
    train, test = networks.images("train"), networks.images("test")
    if options.quick:
        train, test = (train[0][:640], train[1][:640]), (test[0][:200], test[1][:200])
    base = {"top1": top1(graph, *test)}
    context = {"float": base, "settings": _settings()}
    figures = SeededFigures("qat", context, list(CASES), partial(_checks, base), partial(_lines, base))
    for name, seed in options.runs():
        row = _measured(graph, name, seed, train, test, options.work)
        figures.add({"case": name, "seed": seed, **row}, keep=not options.quick)
    return 0 if options.quick else conclude(figures.checks)


def _settings() -> Figures:
    return _STEP.options()


def _measured(graph: Graph, name: str, seed: int, train: tuple[Array, Array], test: tuple[Array, Array], work: Path) -> Figures:
    """One case: as calibration leaves it, trained, and exported."""
    step = replace(_STEP, weights=CASES[name], training=replace(_TRAINING, seed=seed))
    data = ek.Data(train=train, calibration=RESNET20.samples(256, seed))
    rounded = replace(step, epochs=0, training=None, distillation=None).apply(graph, data)
    began = time.process_time()
    trained = ek.Recipe([step]).apply(graph, data, folder=work)
    minutes = (time.process_time() - began) / 60
    return {
        "rounded": top1(rounded, *test),
        "trained": top1(trained, *test),
        "cpu_minutes": round(minutes, 2),
        **_file(trained, *test),
    }


def _file(graph: Graph, x: Array, y: Array) -> Figures:
    """Top-1 of the int8 file, and the size and the share of output integers that are the simulation's, of each file.

    LiteRT's 4-bit convolutions take twenty times as long: their file runs on few images, and the integers are the same.
    """
    few = x[:_IDENTICAL]
    wanted = simulate(graph, torch.from_numpy(few)).numpy()
    narrow = any(value.quant is not None and value.quant.dtype in ("int4", "int2") for value in graph.constants())
    found: Figures = {}
    for target in ("tflite-int8", "tflite-w4a8") if narrow else ("tflite-int8",):
        with tempfile.TemporaryDirectory(prefix="edgekit-qat-") as folder:
            built = ek.build(graph, target=target, calibration=x[:64], output=Path(folder), name="net")
            content = built.artifact.read_bytes()
        if target == "tflite-int8":
            found["file"] = float(np.mean(Artifact(content).run(x).argmax(1) == y))
        same = Artifact(content, kernels="reference").run(few) == wanted
        found[target] = {"bytes": len(content), "equal_integers": float(np.mean(same))}
    return found


def _checks(base: Figures, rows: Sequence[Figures]) -> list[Check]:
    out = []
    for row in rows:
        subject = f"{row['case']}, seed {row['seed']}"
        for target in ("tflite-int8", "tflite-w4a8"):
            if target in row:
                figure = f"equal integers, {target} in reference kernels and simulation"
                out.append(Check(subject, figure, row[target]["equal_integers"], 1.0, ">="))
        if (allowed := _DROP.get(row["case"])) is not None:
            out.append(Check(subject, "points lost in the file", 100 * (base["top1"] - row["file"]), allowed, "<="))
    return out


def _lines(base: Figures, rows: Sequence[Figures]) -> list[str]:
    """The table of README.md: one row a case, over its seeds."""
    empty = dict.fromkeys(("case", "seeds", "rounded", "trained", "file", "lost", "bytes", "in 4 bits"), "")
    shown = [{**empty, "case": "float", "trained": f"{100 * base['top1']:.2f}"}]
    for case in CASES:
        found = [row for row in rows if row["case"] == case]
        if found:
            lost = statistics.mean(100 * (base["top1"] - row["file"]) for row in found)
            columns = {key: _percent([row[key] for row in found]) for key in ("rounded", "trained", "file")}
            sizes = {"bytes": _bytes(found, "tflite-int8"), "in 4 bits": _bytes(found, "tflite-w4a8")}
            shown.append({"case": case, "seeds": str(len(found)), **columns, "lost": f"{lost:.2f}", **sizes})
    return [
        *table(shown),
        "",
        f"Top-1 on {len(networks.images('test')[1]):,} test images, in percent, mean over seeds (and range).",
        f"{_STEP.epochs} epochs of 15,000 images. Rounded: the same grids before the training.",
        "File: tflite-int8 in LiteRT's default kernels. In 4 bits: bytes of tflite-w4a8, with the same integers.",
    ]


def _bytes(rows: Sequence[Figures], target: str) -> str:
    sizes = [row[target]["bytes"] for row in rows if target in row]
    return f"{statistics.mean(sizes):,.0f}" if sizes else ""


def _percent(values: Sequence[float]) -> str:
    percents = [100 * value for value in values]
    spread = "" if len(percents) == 1 else f" ({min(percents):.2f} to {max(percents):.2f})"
    return f"{statistics.mean(percents):.2f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
