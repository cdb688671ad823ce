"""A keyword spotter for delivery: pruned, clustered, trained in integers and packed, beside its int8 file under gzip.

    python -m benchmarks.keyword_spotter [--speaker N]... [--quick]

A DS-CNN (Zhang et al. 2017, arXiv:1711.07128) hears spoken digits: 10 mel cepstra of 49 frames. Each fold holds one speaker
out, trains on the others (at three speeds, moved in time, varied in sound), and compares on the one that nobody has heard: the
float network, its calibrated int8 file under gzip, and the packed file after ``sparsify``, ``cluster`` and ``qat``. The int8
file is of a network that went on training for as many epochs as the recipe has. Features and settings were chosen with the
speakers 0 and 1 held out, so that the others' folds say more. A fold takes two CPU minutes and is recorded in
``results/keyword_spotter.json`` as it ends. ``--quick`` takes few samples and epochs and records nothing.
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
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact

Array = NDArray[Any]
Figures = dict[str, Any]

_FRAMES, _CEPSTRA, _MELS = 49, 10, 40

#: Frames by which training moves a recording at most, and how many times as fast it plays them.
_SHIFT, _SPEEDS = 5, (0.87, 1.0, 1.15)

#: By how much it varies each cepstrum, in standard deviations.
_VOICE = 0.2

#: What the packed file may be of the int8 file under gzip, and the points of top-1 that it may lose against that file.
_SMALLER, _DROP = 0.55, 0.4

_AUGMENT = {"augment": "benchmarks.keyword_spotter:varied", "batch_size": 64, "validation": 0.0}
_FLOAT = ek.Training(optimizer="adam", lr=3e-3, epochs=10, **_AUGMENT)
_GENTLE = ek.Training(optimizer="adam", lr=5e-4, **_AUGMENT)
_TEACHER = ek.Distillation(temperature=2.0, alpha=1.0)
_DEPTHWISE = tuple(f"blocks.{6 * block}" for block in range(4))
_RECIPE: tuple[Any, ...] = (
    ek.Sparsify(sparsity=0.55, rounds=3, epochs=1, keep=_DEPTHWISE, training=_GENTLE, distillation=_TEACHER),
    ek.Cluster(
        bits=4,
        layers=dict.fromkeys(_DEPTHWISE, 5),
        grid="int8",
        epochs=2,
        training=replace(_GENTLE, lr=2e-4),
        distillation=_TEACHER,
    ),
    ek.QAT(
        epochs=2,
        freeze=0.5,
        training=ek.Training(optimizer="adam", lr=5e-5, **_AUGMENT),
        distillation=_TEACHER,
    ),
)


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


def cepstra(waves: Array, rate: int) -> Array:
    """(N, 1, 49, 10) float32: the first mel cepstra of frames of 40 ms every 20 ms, of one second each.

    Every recording is brought to the same loudness first, and silence to 30 dB below it; then the mean of its loud frames is
    taken from all of them. How near a microphone stood, and how a voice and a room sound, tells nothing about the digit.
    """
    size, hop = rate // 25, rate // 50
    window = np.hanning(size)
    x = waves.astype(np.float64)
    x /= np.maximum(np.sqrt(np.square(x).mean(1, keepdims=True)), 1.0)
    x = np.pad(x, ((0, 0), (0, max(0, (_FRAMES - 1) * hop + size - waves.shape[1]))))
    frames = np.stack([x[:, i * hop : i * hop + size] * window for i in range(_FRAMES)], axis=1)
    bands = np.abs(np.fft.rfft(frames)) ** 2 @ _mel(rate, size).T
    energy = np.log(bands + 1e-3 * bands.mean((1, 2), keepdims=True))
    turns = np.cos(np.pi / _MELS * np.outer(np.arange(_CEPSTRA), np.arange(_MELS) + 0.5)) * np.sqrt(2 / _MELS)
    found = energy @ turns.T
    loud = np.exp((found[..., :1] - found[..., :1].max(1, keepdims=True)) / _MELS**0.5)
    return (found - (found * loud).sum(1, keepdims=True) / loud.sum(1, keepdims=True))[:, None].astype(np.float32)


def faster(waves: Array, times: float) -> Array:
    """The recordings played so many times as fast around their middle: other voices say the same words."""
    samples = waves.shape[1]
    at = (np.arange(samples) - samples / 2) * times + samples / 2
    low = np.clip(np.floor(at).astype(np.intp), 0, samples - 2)
    part = np.clip(at - low, 0.0, 1.0)
    inside = (at >= 0) & (at <= samples - 1)
    return (waves[:, low] * (1 - part) + waves[:, low + 1] * part) * inside


def varied(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each recording up to 100 ms earlier or later, every cepstrum stretched and moved a little, as another voice would.

    What a shift leaves open repeats the first or last frame.
    """
    count, _, length, cepstra = batch.shape
    by = torch.randint(-_SHIFT, _SHIFT + 1, (count, 1), generator=generator)
    frames = (torch.arange(length) + by).clamp(0, length - 1)
    moved = batch[torch.arange(count)[:, None], :, frames].permute(0, 2, 1, 3)
    stretch = torch.randn(count, 1, 1, cepstra, generator=generator).mul(_VOICE).exp()
    return moved * stretch + torch.randn(count, 1, 1, cepstra, generator=generator) * _VOICE


def _mel(rate: int, size: int) -> Array:
    """(40, size // 2 + 1): triangles, evenly spread on the mel scale from 20 Hz to half of the rate."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (20.0, rate / 2))
    edges = 700 * (10 ** (np.linspace(low, high, _MELS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(size, 1 / rate)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(up, down))


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
        rate, names = int(arrays["sample_rate"]), sorted(set(arrays["speaker"].tolist()))
        x = {times: cepstra(faster(arrays["x"], times), rate) for times in _SPEEDS}
        y = arrays["y"].astype(np.int64)
        speakers = np.array([names.index(name) for name in arrays["speaker"].tolist()])
    rows = [] if options.quick else _recorded()
    for held_out in options.speaker or [0]:
        row = {"speaker": held_out, **_fold(x, y, speakers == held_out, options.quick)}
        print(row, flush=True)
        rows = sorted([r for r in rows if r["speaker"] != held_out] + [row], key=lambda r: int(r["speaker"]))
        if not options.quick:
            record("keyword_spotter", {"settings": _settings(), "figures": rows}, _checks(rows))
            into_readme("keyword_spotter", _lines(rows))
    return 0 if options.quick else conclude(_checks(rows))


def _settings() -> Figures:
    return {"training": _FLOAT.options(), "recipe": [step.options() for step in _RECIPE]}


def _recorded() -> list[Figures]:
    """The folds that stand in the results, where they were measured with these settings."""
    path = RESULTS / "keyword_spotter.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    return content["figures"] if content.get("settings") == json.loads(json.dumps(_settings())) else []


def _fold(at: dict[float, Array], y: Array, held_out: NDArray[np.bool_], quick: bool) -> Figures:
    known = np.concatenate([x[~held_out] for x in at.values()])
    mean, std = known.mean((0, 2), keepdims=True), known.std((0, 2), keepdims=True)
    train = ((known - mean) / std, np.tile(y[~held_out], len(at)))
    test = ((at[1.0][held_out] - mean) / std, y[held_out])
    if quick:
        train, test = (train[0][::10], train[1][::10]), (test[0][::5], test[1][::5])
    began = time.process_time()
    torch.manual_seed(0)
    blank = ek.load(DsCnn().eval(), example_inputs=(torch.zeros(1, 1, _FRAMES, _CEPSTRA),))
    tune = ek.FineTune(**{**_FLOAT.options(), "epochs": 2 if quick else _FLOAT.epochs})
    graph = tune.apply(blank, ek.Data(train=train))
    graph.history = ()
    epochs = sum(step.epochs * getattr(step, "rounds", 1) for step in _RECIPE)
    more = ek.FineTune(**{**_GENTLE.options(), "epochs": 1 if quick else epochs})
    longer = more.apply(graph, ek.Data(train=train))
    small = ek.Recipe([replace(step, epochs=1) for step in _RECIPE] if quick else _RECIPE).apply(graph, ek.Data(train=train))
    minutes = (time.process_time() - began) / 60
    calibration = train[0][:256]
    plain, packed = _file(longer, calibration, test), _file(small, calibration, test)
    return {
        "float": _top1(longer, *test),
        "int8": plain["top1"],
        "int8_bytes": plain["bytes"],
        "int8_gzip": plain["gzip"],
        "small": packed["top1"],
        "small_gzip": packed["gzip"],
        "small_packed": packed["packed"],
        "int8_packed": plain["packed"],
        "cpu_minutes": round(minutes, 2),
    }


def _file(graph: Graph, calibration: Array, test: tuple[Array, Array]) -> Figures:
    """An int8 file: top-1 in LiteRT, and its bytes as it is, under gzip and packed."""
    with tempfile.TemporaryDirectory(prefix="edgekit-kws-") as folder:
        built = ek.build(graph, target="tflite-int8", calibration=calibration, output=Path(folder), name="net")
        content = built.artifact.read_bytes()
        packed = ek.pack(content)
    top1 = float(np.mean(Artifact(content).run(test[0]).argmax(1) == test[1]))
    return {"top1": top1, "bytes": len(content), "gzip": len(gzip.compress(content, 9)), "packed": len(packed.data)}


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
    missed = [f"Missed: {check}." for check in _checks(rows) if not check.passed]
    return [
        *table([*[_shown(str(row["speaker"]), row) for row in rows], _shown("mean", mean)]),
        "",
        f"Top-1 in percent on the speaker held out (500 recordings each), bytes of files. Small: pruned, clustered, trained in "
        f"integers. Points lost against int8: {np.mean(lost):.2f}, standard deviation over speakers {np.std(lost):.2f}.",
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
