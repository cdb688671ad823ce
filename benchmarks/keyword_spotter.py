"""A keyword spotter for delivery: pruned, clustered, trained in integers and packed, beside its int8 file under gzip.

    python -m benchmarks.keyword_spotter [--speaker N]... [--quick]

A DS-CNN (Zhang et al. 2017, arXiv:1711.07128) hears spoken digits: 10 mel cepstra of 49 frames. Each fold holds one speaker
out, trains on the others (varied by ``benchmarks.voices``), and compares on the one that nobody has heard: the float network,
its calibrated int8 file under gzip, and the packed file after ``sparsify``, ``cluster`` and ``qat``. The int8 file is of the
same network, which went on training on the labels for as many epochs as the recipe has. The recipe learns from no label but
from three float networks: that one, and two of other seeds. Settings were chosen with the speakers 0 and 1 held out, so that
the others' folds say more. Each fold is recorded in ``results/keyword_spotter.json`` as it ends. ``--quick`` takes few samples
and epochs and records nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
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
from torch import nn

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.voices import CEPSTRA, FRAMES, cepstra
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact

Array = NDArray[Any]
Figures = dict[str, Any]

#: What the packed file may be of the int8 file under gzip, and the points of top-1 that it may lose against that file.
_SMALLER, _DROP = 0.55, 0.4

#: Seeds of the float networks: the first is compressed, the others teach, beside the one that the int8 file is made of.
_SEEDS = (0, 1, 2)

_AUGMENT = {"augment": "benchmarks.voices:varied", "optimizer": "adamw", "batch_size": 64, "validation": 0.0}
_FLOAT = ek.Training(lr=3e-3, epochs=30, warmup=1.0, **_AUGMENT)
_LONGER = ek.Training(lr=1e-3, **_AUGMENT)
_TAUGHT = replace(_LONGER, augment="benchmarks.voices:mixed")
_DEPTHWISE = tuple(f"blocks.{6 * block}" for block in range(4))


def _recipe(teachers: Sequence[str], *, quick: bool = False) -> tuple[Any, ...]:
    """What is compared with training on; ``quick``: one epoch a step."""
    taught = {"distillation": ek.Distillation(temperature=3.0, alpha=1.0, teachers=tuple(teachers))}
    sparse = ek.Sparsify(sparsity=0.4, rounds=3, epochs=2, keep=_DEPTHWISE, training=_TAUGHT, **taught)
    shared = ek.Cluster(
        bits=4,
        layers=dict.fromkeys(_DEPTHWISE, 5),
        grid="int8",
        significant=8,
        epochs=4,
        training=replace(_TAUGHT, lr=2e-4),
        **taught,
    )
    integers = ek.QAT(epochs=4, freeze=0.5, training=replace(_TAUGHT, lr=5e-5), **taught)
    return tuple(replace(step, epochs=1) if quick else step for step in (sparse, shared, integers))


class DsCnn(nn.Module):
    """A convolution of 10x4 with stride 2, four depthwise separable ones of 64 channels, pooling and a linear layer."""

    def __init__(self, channels: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels, (10, 4), 2, padding=(4, 1), bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.blocks = nn.Sequential(*[layer for _ in range(4) for layer in _separable(channels)])
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.blocks(self.stem(x)).mean((2, 3))))


def _separable(channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


def main() -> int:
    """Train, compress, pack, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker", action="append", type=int, default=[])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    path = networks.DATA / "fsdd.npz"
    if not path.exists():
        print(f"the data ({path}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    with np.load(path) as arrays:
        x, y = cepstra(arrays["x"]), arrays["y"].astype(np.int64)
        speakers = np.unique(arrays["speaker"], return_inverse=True)[1]
    rows: list[Figures] = []
    for held_out in options.speaker or [0]:
        row = {"speaker": held_out, **_fold(x, y, speakers == held_out, options.quick)}
        print(row, flush=True)
        rows = rows if options.quick else _recorded()  # now: another run may have recorded other folds meanwhile
        rows = sorted([r for r in rows if r["speaker"] != held_out] + [row], key=lambda r: int(r["speaker"]))
        if not options.quick:
            record("keyword_spotter", {"settings": _settings(), "figures": rows}, _checks(rows))
            into_readme("keyword_spotter", _lines(rows))
    return 0 if options.quick else conclude(_checks(rows))


def _settings() -> Figures:
    recipe = [step.options() for step in _recipe(_names("."))]
    return {"training": _FLOAT.options(), "longer": _LONGER.options(), "recipe": recipe}


def _recorded() -> list[Figures]:
    """The folds that stand in the results, where they were measured with these settings."""
    path = RESULTS / "keyword_spotter.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    return content["figures"] if content.get("settings") == json.loads(json.dumps(_settings())) else []


def _names(folder: str) -> list[str]:
    """Files of the teachers."""
    return [f"{folder}/{name}.ekg" for name in ("longer", *_SEEDS[1:])]


def _fold(x: Array, y: Array, held_out: NDArray[np.bool_], quick: bool) -> Figures:
    train, test = (x[~held_out], y[~held_out]), (x[held_out], y[held_out])
    if quick:
        train, test = (train[0][::10], train[1][::10]), (test[0][::5], test[1][::5])
    data = ek.Data(train=train)
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="edgekit-kws-") as folder:
        graph, *others = [_float(seed, data, quick) for seed in _SEEDS]
        recipe = _recipe(_names(folder), quick=quick)
        epochs = sum(step.epochs * getattr(step, "rounds", 1) for step in recipe)
        longer = ek.FineTune(**{**_LONGER.options(), "epochs": epochs}).apply(graph, data)
        for name, teacher in zip(_names(folder), (longer, *others), strict=True):
            teacher.save(name)
        small = ek.Recipe(recipe).apply(graph, data)
    minutes = (time.process_time() - began) / 60
    plain, packed = _file(longer, train[0][:256], test), _file(small, train[0][:256], test)
    right, still = plain.pop("right"), packed.pop("right")
    return {
        "float": _top1(longer, *test),
        "int8": float(right.mean()),
        "int8_bytes": plain["bytes"],
        "int8_gzip": plain["gzip"],
        "small": float(still.mean()),
        "small_gzip": packed["gzip"],
        "small_packed": packed["packed"],
        "int8_packed": plain["packed"],
        "only_int8_right": int((right & ~still).sum()),
        "only_small_right": int((still & ~right).sum()),
        "recordings": len(right),
        "cpu_minutes": round(minutes, 2),
    }


def _float(seed: int, data: ek.Data, quick: bool) -> Graph:
    torch.manual_seed(seed)
    blank = ek.load(DsCnn().eval(), example_inputs=(torch.zeros(1, 1, FRAMES, CEPSTRA),))
    settings = {**_FLOAT.options(), "epochs": 2 if quick else _FLOAT.epochs, "seed": seed}
    graph = ek.FineTune(**settings).apply(blank, data)
    graph.history = ()
    return graph


def _file(graph: Graph, calibration: Array, test: tuple[Array, Array]) -> Figures:
    """An int8 file: what LiteRT gets right, and its bytes as it is, under gzip and packed."""
    with tempfile.TemporaryDirectory(prefix="edgekit-kws-") as folder:
        built = ek.build(graph, target="tflite-int8", calibration=calibration, output=Path(folder), name="net")
        content = built.artifact.read_bytes()
        packed = ek.pack(content)
    right = Artifact(content).run(test[0]).argmax(1) == test[1]
    return {"right": right, "bytes": len(content), "gzip": len(gzip.compress(content, 9)), "packed": len(packed.data)}


def _top1(graph: Graph, x: Array, y: Array) -> float:
    with torch.no_grad():
        scores = graph.module().eval()(torch.from_numpy(x))
    return float(np.mean(scores.numpy().argmax(1) == y))


def _checks(rows: Sequence[Figures]) -> list[Check]:
    subject = f"{len(rows)} speakers held out"
    saved = 1 - float(np.mean([row["small_packed"] / row["int8_gzip"] for row in rows]))
    lost = 100 * float(np.mean([row["int8"] - row["small"] for row in rows]))
    return [
        Check(subject, "share saved, packed against int8 under gzip", saved, _SMALLER, ">="),
        Check(subject, "points lost against int8, mean", lost, _DROP, "<="),
    ]


def _lines(rows: Sequence[Figures]) -> list[str]:
    """The table of README.md: one row a fold, and their mean."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "speaker"}
    lost = [100 * (row["int8"] - row["small"]) for row in rows]
    worse, better, count = (sum(row[key] for row in rows) for key in ("only_int8_right", "only_small_right", "recordings"))
    error = 100 * np.sqrt((worse + better) / count - ((worse - better) / count) ** 2) / np.sqrt(count)
    missed = [f"Missed: {check}." for check in _checks(rows) if not check.passed]
    return [
        *table([*[_shown(str(row["speaker"]), row) for row in rows], _shown("mean", mean)]),
        "",
        f"Top-1 in percent on the speaker held out (500 recordings each), bytes of files. Small: pruned, clustered, trained in "
        f"integers. Points lost against int8: {np.mean(lost):.2f}, standard error {error:.2f} (of {count:,} recordings "
        f"{worse} are right in the int8 file alone, {better} in the small one alone); standard deviation over speakers "
        f"{np.std(lost):.2f}.",
        *(["", *missed] if missed else []),
    ]


def _shown(name: str, row: Figures) -> dict[str, str]:
    return {
        "speaker": name,
        **{key: f"{100 * row[key]:.2f}" for key in ("float", "int8", "small")},
        "int8 gzip": f"{row['int8_gzip']:,.0f}",
        "small gzip": f"{row['small_gzip']:,.0f}",
        "small packed": f"{row['small_packed']:,.0f}",
        "saved": f"{100 * (1 - row['small_packed'] / row['int8_gzip']):.1f} %",
    }


if __name__ == "__main__":
    sys.exit(main())
