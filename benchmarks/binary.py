"""Binary networks on Fashion-MNIST: what one bit a weight, and one bit an activation, cost in accuracy and gain in bytes.

    python -m benchmarks.binary [--case NAME]... [--seed N]... [--quick]

An MLP 784-512-512-10 and a small convolutional network, trained as floats and with each method for the same epochs from the
same initial weights. In the MLP all three layers are binary (the inputs of the first are not), in the other network the inner
ones. The seed chooses weights and order. Each case is recorded as it ends, in ``results/binary.json``, so that the table fills
up over many calls; it takes one or two CPU minutes. ``--quick`` takes few images and records nothing. Instructions are those
of one inference on an emulated Cortex-A53, where ``edgekit bench --setup-qemu`` has been run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.counted_c import count_c
from edgekit.bench.qemu import count_instructions
from edgekit.bench.qemu.toolbox import missing
from edgekit.export.c_binary.compiled import compiler
from edgekit.ir import Graph
from edgekit.runtime.larq_environment import find_python

Array = NDArray[Any]
Figures = dict[str, Any]

#: Network -> epochs, training images.
AMOUNTS = {"MLP": (15, 60_000), "CNN": (8, 20_000)}
_TRAINING: dict[str, Any] = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "batch_size": 128, "validation": 0.0}
_ALL = ("0", "3", "6")
#: Case -> network and step; None trains as floats.
CASES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "MLP, float": ("MLP", None),
    "MLP, BinaryConnect": ("MLP", {"method": "binary_connect", "layers": _ALL}),
    "MLP, BinaryConnect, drawn": ("MLP", {"method": "binary_connect", "stochastic": True, "glorot": True, "layers": _ALL}),
    "MLP, BNN": ("MLP", {"method": "bnn", "layers": _ALL}),
    "CNN, float": ("CNN", None),
    "CNN, BNN": ("CNN", {"method": "bnn"}),
    "CNN, XNOR-Net": ("CNN", {"method": "xnor_net"}),
    "CNN, ReActNet": ("CNN", {"method": "react_net"}),
}
#: Points of top-1 that the mean over seeds may be below that of the floats.
_DROP = {"MLP, BinaryConnect": 2.0, "MLP, BNN": 4.0}


def mlp() -> nn.Module:
    """784-512-512-10, a norm behind every layer, as in BinaryConnect and BNN."""
    layers: list[nn.Module] = []
    for inputs in (784, 512):
        layers += [nn.Linear(inputs, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(512, 10, bias=False), nn.BatchNorm1d(10))


class Cnn(nn.Module):
    """Three convolutions, the inner two of which become binary."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        for inputs, outputs in ((16, 32), (32, 64)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def main() -> int:
    """Train, export, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=list(CASES), default=[])
    parser.add_argument("--seed", action="append", type=int, default=[])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not (networks.DATA / "fashion_mnist.npz").exists():
        print(f"the data ({networks.DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = [] if options.quick else _recorded()
    for name in options.case or list(CASES):
        for seed in options.seed or [0]:
            row = {"case": name, "seed": seed, **_measured(name, seed, options.quick)}
            print(row, flush=True)
            rows = [r for r in rows if (r["case"], r["seed"]) != (name, seed)] + [row]
            if not options.quick:
                rows.sort(key=lambda r: (list(CASES).index(r["case"]), r["seed"]))
                record("binary", {"settings": _settings(), "figures": rows}, _checks(rows))
                into_readme("binary", _lines(rows))
    return 0 if options.quick else conclude(_checks(rows))


def _settings() -> Figures:
    return {"amounts": AMOUNTS, "training": _TRAINING, "cases": CASES}


def _recorded() -> list[Figures]:
    """The cases that stand in the results, where they were measured with these settings."""
    path = RESULTS / "binary.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    return content["figures"] if content.get("settings") == json.loads(json.dumps(_settings())) else []


def _images(part: str, network: str) -> tuple[Array, Array]:
    with np.load(networks.DATA / "fashion_mnist.npz") as arrays:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"].astype(np.int64)
    x = ((x.astype(np.float32) / 255 - 0.286) / 0.353).astype(np.float32)
    return (x.reshape(len(x), -1) if network == "MLP" else x[:, None]), y


def _measured(name: str, seed: int, quick: bool) -> Figures:
    """One case: trained from its seed, and with the first seed exported."""
    network, step = CASES[name]
    epochs, count = (1, 1280) if quick else AMOUNTS[network]
    (x, y), test = _images("train", network), _images("test", network)
    torch.manual_seed(seed)
    graph = ek.load(mlp() if network == "MLP" else Cnn(), (torch.zeros(1, *x.shape[1:]),))
    training = ek.Training(seed=seed, **_TRAINING)
    wanted = (
        ek.FineTune(epochs=epochs, seed=seed, **_TRAINING)
        if step is None
        else ek.Binarize(epochs=epochs, training=training, **step)
    )
    data = ek.Data(train=(x[:count], y[:count]), evaluate=test)
    began = time.process_time()
    trained = ek.Recipe([wanted]).apply(graph, data)
    figures: Figures = {"trained": trained.history[-1].metrics["top1"][1]}
    if real := trained.history[-1].details.get("real_weights"):
        figures["real_weights"] = real["top1"]
    figures["cpu_minutes"] = round((time.process_time() - began) / 60, 2)
    if seed:
        return figures
    targets = ["tflite-int8"] if step is None else ["tflite-int8", "tflite-binary", "c-binary", *_engine(step)]
    return {**figures, **_files(trained, targets, x[:256], test)}


def _engine(step: dict[str, Any]) -> list[str]:
    """Larq Compute Engine's target, where the engine is and activations are signs."""
    return ["tflite-lce"] if step["method"] != "binary_connect" and find_python() is not None else []


def _files(graph: Graph, targets: Sequence[str], calibration: Array, test: tuple[Array, Array]) -> Figures:
    """By target: bytes, top-1 on the test images, and the share of output integers equal to the simulation's."""
    found: Figures = {}
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="edgekit-binary-") as place:
            try:
                built = ek.build(graph, target=target, calibration=calibration, evaluate=test, output=place, name="net")
            except ek.Unsupported as error:
                found[target] = {"refused": error.what}
                continue
            equal = [row.equal_integers for row in built.report.verification if row.equal_integers is not None]
            found[target] = {
                "bytes": built.artifact.stat().st_size
                if target != "c-binary"
                else _object_bytes(built.artifact.with_suffix(".c")),
                "top1": next(row.artifact for row in built.report.evaluation if row.metric == "top1"),
                "equal_integers": min(equal, default=None),
                "instructions": _instructions(built.artifact, target),
            }
    return found


def _instructions(artifact: Path, target: str) -> int | None:
    """Of one inference on a Cortex-A53; None where they are not counted here, or not of this runtime."""
    if target == "tflite-lce" or missing():
        return None
    return count_c(artifact.with_suffix(".c")) if target == "c-binary" else count_instructions(artifact)


def _object_bytes(source: Path) -> int | None:
    """Code and constants of the C file compiled for size, for this machine; None without compiler and ``size``."""
    program, size = compiler(), shutil.which("size")
    if program is None or size is None:
        return None
    made = source.with_suffix(".o")
    subprocess.run([program, "-std=c99", "-Os", "-c", str(source), "-o", str(made)], check=True)
    printed = subprocess.run([size, str(made)], check=True, capture_output=True, text=True).stdout.splitlines()[1].split()
    return int(printed[0]) + int(printed[1])


def _checks(rows: Sequence[Figures]) -> list[Check]:
    out = []
    for name, allowed in _DROP.items():
        network = CASES[name][0]
        floats = {row["seed"]: row["trained"] for row in rows if row["case"] == f"{network}, float"}
        mine = {row["seed"]: row["trained"] for row in rows if row["case"] == name}
        if seeds := floats.keys() & mine.keys():
            lost = statistics.mean(100 * (floats[seed] - mine[seed]) for seed in seeds)
            out.append(Check(f"{name}, {len(seeds)} seeds", "points below float", lost, allowed, "<="))
    for row in rows:
        for target, file in row.items():
            if isinstance(file, dict) and file.get("equal_integers") is not None:
                subject = f"{row['case']}, seed {row['seed']}, {target}"
                if target == "tflite-lce":  # it rounds once where the simulation rounds twice: docs/binary-networks.md
                    other = 100 * abs(file["top1"] - row["tflite-int8"]["top1"])
                    out.append(Check(subject, "points of top-1 apart from tflite-int8", other, 0.25, "<="))
                    continue
                out.append(Check(subject, "integers equal to the simulation", file["equal_integers"], 1.0, ">="))
    return out


def _lines(rows: Sequence[Figures]) -> list[str]:
    """The table of README.md: one row a case, over its seeds."""
    shown = []
    for case in CASES:
        if not (found := [row for row in rows if row["case"] == case]):
            continue
        columns = {"case": case, "seeds": str(len(found)), "top-1": _percent([row["trained"] for row in found])}
        for target in ("tflite-int8", "tflite-binary", "tflite-lce", "c-binary"):
            files = [row[target] for row in found if target in row and "bytes" in row[target]]
            columns[target] = _cell(files[0]) if files else ""
        shown.append(columns)
    return [
        *table(shown),
        "",
        "Top-1 on 10,000 test images in percent, mean over seeds (and range). Files, of seed 0: bytes, their own top-1,",
        "instructions of one inference on an emulated Cortex-A53. MLP: 15 epochs of 60,000 images; CNN: 8 of 20,000. c-binary:",
        "code and constants compiled with -Os for x86-64, and with -O2 for the instructions.",
    ]


def _cell(file: Figures) -> str:
    counted = file.get("instructions")
    return f"{file['bytes']:,} B, {100 * file['top1']:.2f}" + (f", {counted / 1e6:.2f} M" if counted else "")


def _percent(values: Sequence[float]) -> str:
    percents = [100 * value for value in values]
    spread = "" if len(percents) == 1 else f" ({min(percents):.2f} to {max(percents):.2f})"
    return f"{statistics.mean(percents):.2f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
