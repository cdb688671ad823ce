"""Post-training quantisation: observers, bias correction, equalisation and learned rounding, in 8 and in 4 bits.

    python -m benchmarks.post_training [--part int8|int4|mobile]... [--case NAME]... [--seconds N] [--again] [--quick]

* int8: ResNet-20 by observer and method; SQNR of the logits on test images, three draws of calibration images. The default and
  the best method also as files in LiteRT.
* int4: the same network with 4-bit weights and 8-bit activations, rounded to the nearest and by AdaRound; files run in LiteRT.
* mobile: a small MobileNetV2, trained here on Fashion-MNIST, whose channels are then scaled up to 60 times up and down without
  changing its function; int8 files with one scale for each weight, with and without equalisation, run in LiteRT.

Every case and draw is recorded as it ends, in ``results/post_training.json``, with the table of README.md; what is there is not
measured again without ``--again``. With ``--seconds`` none is begun after so many CPU seconds: the next call goes on.
``--quick`` takes one draw and few images and records nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.mobile import Mobile, adversarially_scaled
from benchmarks.networks import DATA, RESNET20
from edgekit.compress.equalize.application import equalize_graph
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.config import QuantizationSettings
from edgekit.export.tflite.exporter import export
from edgekit.ir import Graph
from edgekit.metrics import sqnr_db
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from edgekit.target import targets_folder
from edgekit.train.loop import train
from edgekit.train.settings import Training

Array = NDArray[Any]
Row = dict[str, Any]

_SEEDS = 3


@dataclass(frozen=True)
class Amounts:
    """How much is measured: calibration images of ResNet-20 for 8 and for 4 bits, test images for its SQNR and top-1, and the
    training and test images of the other.
    """

    calibration: int = 256
    calibration4: int = 512
    images: int = 1000
    labelled: int = 2000
    training: int = 30_000
    epochs: int = 3
    test: int = 4000


_FULL, _QUICK = Amounts(), Amounts(64, 64, 200, 100, 2000, 1, 500)

_BEST, _DEFAULT = "output_error, bias correction, adaround", "output_error, bias correction"
_METHODS: dict[str, PostTraining] = {
    _BEST: PostTraining(rounding="adaround"),
    "min_max": PostTraining("min_max", bias_correction=False),
    "output_error": PostTraining("output_error", bias_correction=False),
    **{
        f"{name}, bias correction": PostTraining(name)
        for name in ("output_error", "auto", "min_max", "entropy", "percentile", "mse", "moving_average")
    },
    "output_error, bias correction, equalised": PostTraining(),
}

_INT4: dict[str, QuantizationSettings] = {
    "nearest": QuantizationSettings(bias_correction=False),
    "nearest, bias correction": QuantizationSettings(),
    "adaround, bias correction": QuantizationSettings(rounding="adaround"),
}

_PLAIN, _EQUAL = QuantizationSettings(), QuantizationSettings(equalize=True)
_ONE = "a scale for each weight"

#: Whether the network is scaled, whether weights have one scale, and how it is quantised.
_MOBILE: dict[str, tuple[bool, bool, QuantizationSettings]] = {
    "as trained, a scale for each channel": (False, False, _PLAIN),
    f"as trained, {_ONE}": (False, True, _PLAIN),
    "scaled, a scale for each channel": (True, False, _PLAIN),
    f"scaled, {_ONE}": (True, True, _PLAIN),
    f"scaled, equalised, {_ONE}": (True, True, _EQUAL),
    "scaled, equalised, a scale for each channel": (True, False, _EQUAL),
}


def main() -> int:
    """Measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(_PARTS), default=[])
    parser.add_argument("--case", action="append", choices=[case for _, cases in _PARTS.values() for case in cases], default=[])
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not networks.available():
        print(f"the data ({networks.DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    begun = time.process_time()
    amounts, known = (_QUICK, {}) if options.quick else (_FULL, _recorded())
    for part in options.part or list(_PARTS):
        measure, every = _PARTS[part]
        cases = [case for case in every if case in options.case] or ([] if options.case else every)
        for seed in range(1 if options.quick else _SEEDS):
            for case in cases:
                seeds = known.setdefault(part, {}).setdefault(case, {})
                if (str(seed) in seeds and not options.again) or time.process_time() - begun > options.seconds:
                    continue
                started = time.process_time()
                row = measure(case, seed, amounts)
                seeds[str(seed)] = {**row, "cpu_seconds": round(time.process_time() - started)}
                print(part, case, seed, seeds[str(seed)], flush=True)
                if not options.quick:
                    record("post_training", {"parts": known}, _checks(known))
                    into_readme("post-training", _lines(known))
    return conclude([] if options.quick else _checks(known))


def _recorded() -> dict[str, Any]:
    path = RESULTS / "post_training.json"
    return dict(json.loads(path.read_text())["parts"]) if path.exists() else {}


@cache
def _resnet20() -> Graph:
    return ek.load(RESNET20.module(), (torch.zeros(2, 3, 32, 32),), name="resnet20")


def _logits(graph: Graph, x: Array) -> Array:
    """Of the float graph, fake-quantised where it carries ``quant``."""
    module = graph.module().eval()
    with torch.no_grad():
        return np.concatenate([module.run([torch.from_numpy(part)])[0].numpy() for part in np.array_split(x, len(x) // 100)])


def _int8(case: str, seed: int, amounts: Amounts) -> Row:
    """ResNet-20's SQNR by one method."""
    graph = run_passes(_resnet20(), (*EXACT, *DECOMPOSE))[0]
    x, _ = networks.test_images(amounts.images)
    wanted = _logits(graph, x)
    batches = [[part] for part in torch.split(torch.from_numpy(RESNET20.samples(amounts.calibration, seed)), 32)]
    started = time.process_time()
    source = equalize_graph(graph, batches)[0] if "equalised" in case else graph
    after, done = quantize(source, batches, options=_METHODS[case])
    seconds, got = time.process_time() - started, _logits(after, x)
    names = list(done.observers.values())
    file = {"file_db": sqnr_db(wanted, Artifact(export(after)).run(x))} if case in (_BEST, _DEFAULT) else {}
    return {
        **file,
        "sqnr_db": sqnr_db(wanted, got),
        "agreement": float((wanted.argmax(1) == got.argmax(1)).mean()),
        "seconds": round(seconds, 1),
        "observers": {name: names.count(name) for name in dict.fromkeys(names)},
        "kept": sum(row.kept for row in done.rounded),
    }


def _int4(case: str, seed: int, amounts: Amounts) -> Row:
    """ResNet-20 with 4-bit weights, as a file in LiteRT."""
    x, y = networks.test_images(amounts.labelled)
    wanted = _logits(_resnet20(), x)
    with tempfile.TemporaryDirectory(prefix="edgekit-ptq-") as folder:
        calibration = RESNET20.samples(amounts.calibration4, seed)
        built = ek.build(_resnet20(), "tflite-w4a8", calibration=calibration, output=folder, quantization=_INT4[case])
        got = Artifact(built.artifact).run(x)
        size = built.artifact.stat().st_size
    return {
        "source": float((wanted.argmax(1) == y).mean()),
        "top1": float((got.argmax(1) == y).mean()),
        "sqnr_db": sqnr_db(wanted, got),
        "bytes": size,
        "seconds": round(built.report.timings["quantize"], 1),
    }


def _mobile(case: str, seed: int, amounts: Amounts) -> Row:
    """The MobileNetV2 as a file in LiteRT."""
    x, _, x_test, y_test = _fashion(amounts)
    scaled, per_tensor, settings = _MOBILE[case]
    graph = _trained(amounts)
    model = adversarially_scaled(graph, 60.0, seed) if scaled else graph
    chosen = np.random.default_rng(seed).choice(len(x), 256, replace=False)
    with tempfile.TemporaryDirectory(prefix="edgekit-ptq-") as name:
        target = _target(Path(name), per_tensor)
        built = ek.build(
            model, target, calibration=x[chosen], evaluate=(x_test, y_test), output=Path(name) / "out", quantization=settings
        )
    (found,) = [line for line in built.report.evaluation if line.metric == "top1"]
    return {"source": found.source, "top1": found.artifact, "sqnr_db": built.report.verification[0].sqnr_db}


def _fashion(amounts: Amounts) -> tuple[Array, Array, Array, Array]:
    """Training images and labels, test images and labels."""
    with np.load(DATA / "fashion_mnist.npz") as arrays:
        x, x_test = ((arrays[key].astype(np.float32) / 255)[:, None] for key in ("x_train", "x_test"))
        y, y_test = (arrays[key].astype(np.int64) for key in ("y_train", "y_test"))
    return x[: amounts.training], y[: amounts.training], x_test[: amounts.test], y_test[: amounts.test]


@cache
def _trained(amounts: Amounts) -> Graph:
    """The network after its training, which is kept between calls."""
    place = Path(tempfile.gettempdir()) / f"edgekit-post-training-{amounts.training}-{amounts.epochs}.ekg"
    if not place.exists():
        x, y, _, _ = _fashion(amounts)
        torch.manual_seed(0)
        settings = Training(epochs=amounts.epochs, optimizer="adam", lr=2e-3, batch_size=64, validation=0.0)
        graph = ek.load(Mobile().eval(), (torch.zeros(2, 1, 28, 28),), name="mobile")
        train(graph, (x, y), settings).graph.save(place)
    return ek.load(place)


def _target(folder: Path, per_tensor: bool) -> Path:
    """LiteRT's int8 target without a floor; as a user's own file, with one scale for each weight if so asked."""
    text = (targets_folder() / "tflite-int8.toml").read_text().replace("min_sqnr_db = 10", "min_sqnr_db = -60")
    path = folder / "int8.toml"
    path.write_text(text.replace('granularity = "per_channel"', 'granularity = "per_tensor"') if per_tensor else text)
    return path


_PARTS: dict[str, tuple[Callable[[str, int, Amounts], Row], Sequence[str]]] = {
    "mobile": (_mobile, list(_MOBILE)),
    "int4": (_int4, list(_INT4)),
    "int8": (_int8, list(_METHODS)),
}


def _values(parts: dict[str, Any], part: str, case: str, key: str) -> list[float]:
    """A figure of every draw that was measured."""
    return [row[key] for row in parts.get(part, {}).get(case, {}).values() if key in row]


def _lost(parts: dict[str, Any], part: str, case: str) -> list[float]:
    """Points of top-1 below the float network, by draw."""
    rows = zip(_values(parts, part, case, "source"), _values(parts, part, case, "top1"), strict=True)
    return [100 * (a - b) for a, b in rows]


def _checks(parts: dict[str, Any]) -> list[Check]:
    checks = []
    if best := {m: v for m in _METHODS if (v := _values(parts, "int8", m, "sqnr_db"))}:
        name = max(best, key=lambda m: statistics.mean(best[m]))
        checks.append(Check(f"ResNet-20, int8, {name}", "SQNR, dB", statistics.mean(best[name]), 31.0, ">="))
        if files := _values(parts, "int8", name, "file_db"):
            checks.append(
                Check(f"ResNet-20, int8, {name}", "SQNR of the file in LiteRT, dB", statistics.mean(files), 31.0, ">=")
            )
    learned, nearest = (_lost(parts, "int4", case) for case in ("adaround, bias correction", "nearest"))
    if learned and nearest:
        lost = statistics.mean(learned)
        checks.append(Check("ResNet-20, W4A8, adaround", "points lost", lost, 1.5, "<="))
        more = statistics.mean(nearest) - lost
        checks.append(Check("ResNet-20, W4A8, nearest", "points lost more than adaround", more, 0.0, ">="))
    if destroyed := _lost(parts, "mobile", f"scaled, {_ONE}"):
        checks.append(Check(f"MobileNetV2, scaled, {_ONE}", "points lost, least", min(destroyed), 20.0, ">="))
    if restored := _lost(parts, "mobile", f"scaled, equalised, {_ONE}"):
        checks.append(Check(f"MobileNetV2, scaled, equalised, {_ONE}", "points lost, most", max(restored), 1.0, "<="))
    return checks


def _lines(parts: dict[str, Any]) -> list[str]:
    """The tables of README.md."""
    lines: list[str] = []
    if rows := [_shown_int8(parts, case) for case, seeds in parts.get("int8", {}).items() if seeds]:
        lines += [*table(rows), "", _chosen(parts), ""]
    if rows := [_shown_int4(parts, case) for case, seeds in parts.get("int4", {}).items() if seeds]:
        lines += [*table(rows), ""]
    if rows := [_shown_mobile(parts, case) for case, seeds in parts.get("mobile", {}).items() if seeds]:
        lines += [*table(rows), ""]
    seconds = sum(row["cpu_seconds"] for part in parts.values() for case in part.values() for row in case.values())
    return [
        *lines,
        f"Draws of calibration samples: mean (lowest to highest); {_FULL.calibration} samples, in 4 bits {_FULL.calibration4}.",
        f"SQNR of the first table on {_FULL.images:,} test images, of the fake-quantised graph and of the tflite-int8 file in",
        f"LiteRT; the others are files in LiteRT, on {_FULL.labelled:,} and {_FULL.test:,} test images.",
        f"{seconds / 60:.0f} CPU minutes in all.",
    ]


def _chosen(parts: dict[str, Any]) -> str:
    rows = parts["int8"].get("auto, bias correction", {})
    first: dict[str, int] = next(iter(rows.values()))["observers"] if rows else {}
    told = ", ".join(f"{name} {count}" for name, count in sorted(first.items(), key=lambda item: -item[1]))
    return f'What "auto" chose in the first draw, by tensors: {told}.' if told else ""


def _shown_int8(parts: dict[str, Any], case: str) -> dict[str, str]:
    return {
        "ResNet-20, int8": case,
        "draws": str(len(parts["int8"][case])),
        "SQNR dB": _spread(_values(parts, "int8", case, "sqnr_db"), 1, 2),
        "file, dB": _spread(files, 1, 2) if (files := _values(parts, "int8", case, "file_db")) else "",
        "agreement": f"{statistics.mean(_values(parts, 'int8', case, 'agreement')):.2%}",
        "CPU s": f"{statistics.mean(_values(parts, 'int8', case, 'seconds')):.0f}",
    }


def _shown_int4(parts: dict[str, Any], case: str) -> dict[str, str]:
    return {
        "ResNet-20, tflite-w4a8": case,
        "draws": str(len(parts["int4"][case])),
        "float": _spread(_values(parts, "int4", case, "source"), 100, 2),
        "file": _spread(_values(parts, "int4", case, "top1"), 100, 2),
        "points lost": _spread(_lost(parts, "int4", case), 1, 2),
        "SQNR dB": _spread(_values(parts, "int4", case, "sqnr_db"), 1, 2),
        "bytes": f"{_values(parts, 'int4', case, 'bytes')[0]:,}",
    }


def _shown_mobile(parts: dict[str, Any], case: str) -> dict[str, str]:
    return {
        "MobileNetV2, Fashion-MNIST, int8": case,
        "draws": str(len(parts["mobile"][case])),
        "float": _spread(_values(parts, "mobile", case, "source"), 100, 2),
        "file": _spread(_values(parts, "mobile", case, "top1"), 100, 2),
        "points lost": _spread(_lost(parts, "mobile", case), 1, 2),
        "SQNR dB": _spread(_values(parts, "mobile", case, "sqnr_db"), 1, 1),
    }


def _spread(values: Sequence[float], factor: float, digits: int) -> str:
    """Mean, and in brackets the lowest and the highest where they differ."""
    shown = [f"{factor * v:.{digits}f}" for v in (statistics.mean(values), min(values), max(values))]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"


if __name__ == "__main__":
    sys.exit(main())
