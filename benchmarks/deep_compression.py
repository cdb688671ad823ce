"""Deep Compression on Fashion-MNIST: LeNet-300-100 and LeNet-5 pruned, clustered and packed, every byte counted.

    python -m benchmarks.deep_compression --network lenet-300-100 --seed 0

The pipeline of arXiv:1510.00149 with steps of this project: pruning in rounds, training, codebooks whose values are trained,
the float TFLite file, and its archive. Two things that the paper does not have: weights may move to another value while the
values are trained, and networks are taught: LeNet-300-100 by what it was before a step, LeNet-5 by a larger network
(``benchmarks.deep_compression_teacher``).
Settings were chosen on 10,000 of the training images with seeds 0 and 1; then all 60,000 train, the last epoch counts, and the
10,000 test images are looked at once, by LiteRT with the file that comes out of the archive. The control is a dense network
without teacher that trains for as many epochs: in the same trainings, from the same dense network on, or in one with a single
cosine, whichever was better on the images held out (LeNet-300-100 after 73 epochs 90.25 and 89.92 %, LeNet-5 after 17 epochs
91.66 and 92.32 %). A run is one network and one seed; the table keeps earlier runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import edgekit as ek
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.deep_compression_teacher import with_answers
from benchmarks.lottery import Arrays, LeNet, images
from edgekit.packing.others import others

SEEDS = (0, 1, 2)


class LeNet5(nn.Sequential):
    """Caffe's LeNet-5, which the papers compress: 20 and 50 filters of 5 x 5, 500 hidden units; 431,080 parameters."""

    def __init__(self) -> None:
        features = (nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2))
        super().__init__(*features, nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))


@dataclass(frozen=True)
class Plan:
    """How one network is compressed, and what it has to reach.

    Attributes:
        module: the network.
        dense: epochs before anything is compressed.
        sparse: what prunes it.
        shared: what clusters it, taught by the network that is sparse.
        restarts: the control goes through the same trainings, and not through a single one.
        taught: a larger network's answers are its targets; the control's are the labels.
        bar: how many times smaller than its float32 parameters the archive is at least.
        paper: what the paper reached on MNIST.
    """

    module: type[nn.Module]
    dense: int
    sparse: tuple[Any, ...]
    shared: ek.Cluster
    restarts: bool
    taught: bool
    bar: float
    paper: float

    @property
    def epochs(self) -> int:
        """Of all trainings of the small network, the dense one included."""
        return self.dense + sum(step.epochs * getattr(step, "rounds", 1) for step in (*self.sparse, self.shared))


def _training(seed: int, **other: Any) -> dict[str, Any]:
    plain = {"optimizer": "adamw", "batch_size": 128, "weight_decay": 0.1, "validation": 0.0, "seed": seed}
    return {**plain, **other}


#: What a network that a larger one teaches minimises.
LOSS = "benchmarks.deep_compression_teacher:taught"

#: How the dense network teaches the sparse one.
_DENSE = ek.Distillation(temperature=2.0, alpha=0.5)


def _pruned(sparsity: float, initial: float, rounds: int, teacher: ek.Distillation | None, **how: Any) -> ek.Sparsify:
    constant = ek.Training(**{**how, "schedule": "constant"})
    return ek.Sparsify(
        sparsity=sparsity, initial=initial, rounds=rounds, scope="global", epochs=1, training=constant, distillation=teacher
    )


def _clustered(bits: dict[str, int], epochs: int, teacher: ek.Distillation | None, **how: Any) -> ek.Cluster:
    training = ek.Training(**{**how, "weight_decay": 0.0})
    return ek.Cluster(
        bits=3, layers=bits, biases=5, assignment="trained", epochs=epochs, training=training, distillation=teacher
    )


def plan(network: str, seed: int) -> Plan:
    """The settings of a network."""
    how = _training(seed)
    if network == "lenet-300-100":
        tune = ek.FineTune(epochs=40, distillation=_DENSE, **how, lr=2e-3)
        sparse = (_pruned(0.845, 0.5, 10, _DENSE, **how, lr=3e-3), tune)
        shared = _clustered({"5": 5}, 8, ek.Distillation(temperature=2.0, alpha=0.8), **how, lr=5e-4)
        return Plan(LeNet, 15, sparse, shared, restarts=True, taught=False, bar=36, paper=40)
    how["loss"] = LOSS
    less = {**how, "weight_decay": 0.03}
    sparse = (_pruned(0.867, 0.5, 3, None, **less, lr=2e-3), ek.FineTune(epochs=18, **less, lr=2e-3))
    shared = _clustered({"0": 5, "2": 4, "7": 5}, 8, None, **how, lr=7e-4)
    return Plan(LeNet5, 6, sparse, shared, restarts=False, taught=True, bar=35, paper=39)


#: Learning rates of the dense networks.
RATES = {"lenet-300-100": 3e-3, "lenet-5": 2e-3}


def dense_steps(steps: tuple[Any, ...]) -> list[ek.FineTune]:
    """The same trainings in the same order, of a network in which nothing is pruned, shared or distilled."""
    found = []
    for step in steps:
        fields = step.options() if isinstance(step, ek.FineTune) else step.training.options()
        plain = {name: value for name, value in fields.items() if name != "distillation"}
        found += [ek.FineTune(**{**plain, "epochs": step.epochs})] * getattr(step, "rounds", 1)
    return found


NETWORKS = ("lenet-300-100", "lenet-5")


def measured(network: str, seed: int, train: Arrays, test: Arrays, folder: Path, work: Path) -> dict[str, Any]:
    """One run: accuracies in percent, sizes in bytes."""
    started = time.process_time()
    what = plan(network, seed)
    torch.manual_seed(seed)
    labelled = data = ek.Data(train=train)
    how = _training(seed, lr=RATES[network])
    if what.taught:
        data = ek.Data(train=with_answers(train, work))
    blank = ek.load(what.module(), (torch.zeros(1, 1, 28, 28),))
    loss = {"loss": LOSS} if what.taught else {}
    dense = ek.FineTune(epochs=what.dense, **how, **loss).apply(blank, data)
    if what.restarts:
        control = ek.Recipe(dense_steps((*what.sparse, what.shared))).apply(dense, labelled)
    else:
        control = ek.FineTune(epochs=what.epochs, **how).apply(blank, labelled)
    sparse = ek.Recipe(what.sparse).apply(dense, data)
    small = ek.Recipe([what.shared]).apply(sparse, data)
    files = {name: _file(graph, folder / name) for name, graph in (("control", control), ("small", small))}
    archive = folder / "small.ekz"
    packed = ek.pack(files["small"], archive)
    again = folder / "again.tflite"
    ek.unpack(archive, again)
    if again.read_bytes() != files["small"].read_bytes():
        raise AssertionError("the archive does not hold the file")
    codebooks = small.history[-1].details["codebooks"]
    return {
        "parameters": 4 * dense.parameters,
        "tflite": files["small"].stat().st_size,
        "archive": archive.stat().st_size,
        "parts": packed.parts,
        "others": others(files["small"].read_bytes()),
        "control": _top1(files["control"], test),
        "top1": _top1(again, test),
        "kept": {name: 1 - zeros / size for name, (zeros, size) in small.history[-1].details["zeros"].items()},
        "values": {name: book["values"] for name, book in codebooks.items()},
        "epochs": what.epochs,
        "cpu_seconds": round(time.process_time() - started),
    }


def _file(graph: ek.Graph, folder: Path) -> Path:
    return Path(ek.build(graph, target="tflite-fp32", output=folder, name="net").artifact)


def _top1(file: Path, test: Arrays) -> float:
    """Percent of the test images that LiteRT gets right."""
    scores = np.asarray(ek.run(file, test[0]))
    return 100 * float((scores.argmax(1) == test[1]).mean())


def main() -> int:
    """Runs, records and checks; 1 where a figure misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--seed", type=int, choices=SEEDS)
    parser.add_argument("--keep", type=Path, help="folder for the files of each run")
    work = Path(tempfile.gettempdir()) / "edgekit-deep-compression"
    parser.add_argument("--work", type=Path, default=work, help="folder that keeps what the teacher answers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs = _before()
    train, test = images() if given.network else ((), ())
    for seed in SEEDS if given.seed is None else (given.seed,):
        if given.network:
            with tempfile.TemporaryDirectory() as folder:
                kept = given.keep / f"{given.network}-{seed}" if given.keep else Path(folder)
                row = measured(given.network, seed, train, test, kept, given.work)
            print(f"{given.network}, seed {seed}: {json.dumps(row)}", flush=True)
            runs = _before()  # another run may have ended meanwhile
            runs.setdefault(given.network, {})[str(seed)] = row
            _told(runs)
    return conclude(_told(runs))


def _before() -> dict[str, dict[str, Any]]:
    path = RESULTS / "deep_compression.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else {}
    return found


def _told(runs: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """Records all runs, and returns what they are held against."""
    checks, rows = [], []
    for network in NETWORKS:
        seeds = runs.get(network, {})
        if not seeds:
            continue
        mean = {key: statistics.mean(row[key] for row in seeds.values()) for key in ("archive", "control", "top1", "tflite")}
        parameters = next(iter(seeds.values()))["parameters"]
        times = parameters / mean["archive"]
        bar, paper = (plan(network, 0).bar, plan(network, 0).paper)
        checks.append(Check(network, "times smaller than its float32 parameters, mean", times, bar, ">="))
        ahead = mean["top1"] - mean["control"]
        checks.append(Check(network, f"points before the control, seeds measured: {len(seeds)}", ahead, 0.0, ">="))
        rows.append(
            {
                "network": network,
                "float32 parameters": f"{parameters:,} B",
                "archive, mean": f"{mean['archive']:,.0f} B",
                "times smaller": f"**{times:.1f}** (paper {paper:g})",
                "than the .tflite": f"{mean['tflite'] / mean['archive']:.1f}",
                "xz of the .tflite": f"{statistics.mean(row['others']['xz -9e'] for row in seeds.values()):,.0f} B",
                "top-1 %": _listed(seeds, "top1"),
                "dense, equal epochs": _listed(seeds, "control"),
                "epochs": str(next(iter(seeds.values()))["epochs"]),
            }
        )
    record("deep_compression", {"runs": runs}, checks)
    missed = [f"Missed: {check}." for check in checks if not check.passed]
    into_readme("deep_compression", [*table(rows), *(["", *missed] if missed else [])] if rows else [])
    return checks


def _listed(seeds: Mapping[str, Any], key: str) -> str:
    values = [seeds[seed][key] for seed in sorted(seeds)]
    return f"{statistics.mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"


if __name__ == "__main__":
    raise SystemExit(main())
