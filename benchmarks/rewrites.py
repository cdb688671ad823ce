"""What rewriting costs and gains: ResNet-20 at half its MACs, begun with decompositions and, as the control, at random.

    python -m benchmarks.rewrites [--quick]

For a separable and a low-rank rewrite: top-1 on test images as the network comes out of the step, and after the same short
fine-tuning with the same images, for some seeds; instructions of the int8 file beside the original's. Both starts have the
same shapes, and batch-norm statistics measured again on the same images. ``--quick`` takes one seed, a tenth of the
training, no emulation, and records nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.networks import RESNET20
from edgekit.bench.qemu import count_instructions
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact
from edgekit.train.loop import train
from edgekit.train.settings import Training

Array = NDArray[Any]
Figures = dict[str, Any]

CORES = ("cortex-a53", "cortex-a76")
STEPS: dict[str, ek.Separable | ek.LowRank] = {
    "separable": ek.Separable(macs=0.5, judge="weights", reestimate=True),
    "low-rank": ek.LowRank(macs=0.5, judge="weights", round_to=8, reestimate=True),
}
_TRAINING = Training(epochs=2, optimizer="sgd", lr=0.01, batch_size=64, augment="flip_crop", validation=0.0)
_SEEDS, _IMAGES, _TEST, _CALIBRATION = 2, 1500, 1000, 192


def main() -> int:
    """Rewrite, train, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not networks.available():
        print(f"the data ({networks.DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    started = time.process_time()
    graph = ek.load(RESNET20.module(), example_inputs=(torch.zeros(1, 3, 32, 32),))
    x, y = networks.test_images(200 if options.quick else _TEST)
    x_train, y_train = networks.images("train")
    count = 300 if options.quick else _IMAGES
    data = x_train[:count], y_train[:count]
    base: Figures = {"network": "ResNet-20", "macs": graph.macs, "parameters": graph.parameters, "top1": top1(graph, x, y)}
    rows, checks = [base], [_exact(graph, name) for name in ("separable", "svd", "tucker2", "spatial_svd")]
    with tempfile.TemporaryDirectory(prefix="edgekit-rewrites-") as folder:
        if not options.quick:
            base |= files(graph, x, y, Path(folder) / "original")
        for name, step in STEPS.items():
            row = _of_step(
                graph, name, step, data, (x, y), 1 if options.quick else _SEEDS, None if options.quick else Path(folder)
            )
            print(row, flush=True)
            rows.append(row)
            checks += _checks(base, row)
    seconds = time.process_time() - started
    if not options.quick:
        record("rewrites", {"cpu_seconds": round(seconds), "figures": rows}, checks)
        into_readme("rewrites", _lines(rows, seconds))
    return conclude(checks)


def top1(graph: Graph, x: Array, y: Array) -> float:
    """Share of right labels, in evaluation mode."""
    module = graph.module().eval()
    with torch.no_grad():
        found = [module(torch.from_numpy(part)).argmax(1).numpy() for part in np.array_split(x, max(1, len(x) // 100))]
    return float(np.mean(np.concatenate(found) == y))


def files(graph: Graph, x: Array, y: Array, folder: Path) -> Figures:
    """The int8 file's top-1 and instructions for one image."""
    calibration = RESNET20.samples(_CALIBRATION, 1)
    built = ek.build(graph, target="tflite-int8", calibration=calibration, output=folder, name="resnet20")
    right = Artifact(built.artifact).run(x).argmax(1) == y
    return {
        "bytes": built.artifact.stat().st_size,
        "top1_int8": float(np.mean(right)),
        "instructions": {core: count_instructions(built.artifact, core) for core in CORES},
    }


def _of_step(
    graph: Graph,
    name: str,
    step: ek.Separable | ek.LowRank,
    data: tuple[Array, Array],
    test: tuple[Array, Array],
    seeds: int,
    folder: Path | None,
) -> Figures:
    """Both starts before and after training, and the file of the first seed's network."""
    calibration = RESNET20.samples(_CALIBRATION, 1)
    row: Figures = {"network": name, "before": {}, "after": {}}
    for init in ("svd", "random"):
        row["before"][init], row["after"][init] = [], []
        for seed in range(seeds):
            small = replace(step, init=init, seed=100 * seed).apply(graph, calibration)
            trained = train(small, data, replace(_TRAINING, seed=seed)).graph
            row["before"][init].append(top1(small, *test))
            row["after"][init].append(top1(trained, *test))
            print(name, init, seed, row["before"][init][-1], row["after"][init][-1], flush=True)
            if init == "svd" and seed == 0:
                row |= {"macs": small.macs, "parameters": small.parameters}
                row |= {} if folder is None else files(trained, *test, folder / name)
    fitted = replace(step, refit=True, reestimate=False).apply(graph, calibration)
    row["before"]["fitted"] = [top1(fitted, *test)]
    return row


def _exact(graph: Graph, method: str) -> Check:
    """The largest difference that the full rank makes to the logits, relative to the largest."""
    step: ek.Separable | ek.LowRank = ek.Separable(multiplier=9, allow_dearer=True)
    if method != "separable":
        step = ek.LowRank(rank=100_000, method=method, allow_dearer=True)
    x = torch.from_numpy(RESNET20.samples(32, 2))
    with torch.no_grad():
        wanted, got = (g.module().eval()(x) for g in (graph, step.apply(graph)))
    return Check(
        f"{method}, full rank", "difference of the logits", float((wanted - got).abs().max() / wanted.abs().max()), 1e-5, "<="
    )


def _checks(base: Figures, row: Figures) -> list[Check]:
    subject = f"{row['network']}, half the MACs"
    out = []
    for when in ("before", "after"):
        worst, best = min(row[when]["svd"]), max(row[when]["random"])
        out.append(Check(subject, f"lowest top-1 {when} training, above the highest from random", worst - best, 0.01, ">="))
    if "instructions" in row:
        # A core with dot products computes dense convolutions so fast that depthwise ones cannot win there.
        for core in CORES if row["network"] == "low-rank" else CORES[:1]:
            share = row["instructions"][core] / base["instructions"][core]
            out.append(
                Check(subject, f"instructions, {core}, of the original's", share, 0.8 if core == CORES[0] else 0.9, "<=")
            )
    return out


def _lines(rows: Sequence[Figures], seconds: float) -> list[str]:
    base = rows[0]
    shown = []
    for row in rows:
        trained = {init: _spread(row["after"][init]) if "after" in row else "" for init in ("svd", "random")}
        raw = {init: _spread(row["before"][init]) if "before" in row else "" for init in ("svd", "fitted", "random")}
        counts = {c: f"{row['instructions'][c]:,} ({row['instructions'][c] / base['instructions'][c]:.2f})" for c in CORES}
        shown.append(
            {
                "network": row["network"],
                "MACs": f"{row['macs']:,}",
                "parameters": f"{row['parameters']:,}",
                "SVD": raw["svd"],
                "SVD, fitted": raw["fitted"],
                "random": raw["random"],
                "SVD, trained": trained["svd"] or f"({base['top1']:.1%})",
                "random, trained": trained["random"],
                "int8": f"{row['top1_int8']:.1%}",
                "A53": counts[CORES[0]],
                "A76": counts[CORES[1]],
            }
        )
    return [*table(shown), "", *_EXPLAINED, "", f"{seconds / 60:.0f} CPU minutes in all."]


_EXPLAINED = (
    f"Top-1 on {_TEST:,} test images: as the network comes out of the step, with last factors fitted to {_CALIBRATION} images",
    f"by least squares instead, and after {_TRAINING.epochs} epochs on {_IMAGES:,} images with the same settings; mean of",
    f"{_SEEDS} seeds, in brackets the lowest and the highest. int8: of the first seed's trained network as a file.",
    "Instructions: ARM64, one call, emulated; in brackets relative to the original's. The Cortex-A76 has dot products, which",
    "dense convolutions use and depthwise ones cannot: there a separable rewrite with multipliers above 1 does not pay.",
)


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1 or min(values) == max(values):
        return f"{values[0]:.1%}"
    return f"{np.mean(values):.1%} ({min(values):.1%}-{max(values):.1%})"


if __name__ == "__main__":
    sys.exit(main())
