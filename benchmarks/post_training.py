"""Post-training quantisation: observers, bias correction, equalisation and learned rounding, in 8 and in 4 bits.

    python -m benchmarks.post_training [--part int8|int4|mobile]... [--quick]

* int8: ResNet-20 by observer and method; SQNR of the logits on test images, three draws of calibration images.
* int4: the same network with 4-bit weights and 8-bit activations, rounded to the nearest and by AdaRound; files run in LiteRT.
* mobile: a small MobileNetV2, trained here on Fashion-MNIST, whose channels are then scaled up to 60 times up and down without
  changing its function; int8 files with one scale for each weight, with and without equalisation, run in LiteRT.

Records ``results/post_training.json`` part by part, and the table of README.md. ``--quick`` takes one draw and few images and
records nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
_CALIBRATION = 512
#: Test images: for the SQNR, for top-1, and for the files with 4-bit weights, whose kernels are slow on x86.
_IMAGES, _LABELLED = 2000, 5000

_METHODS: dict[str, PostTraining] = {
    **{
        f"{name}, bias correction": PostTraining(name)
        for name in ("min_max", "moving_average", "percentile", "mse", "entropy", "output_error", "auto")
    },
    "min_max": PostTraining("min_max", bias_correction=False),
    "output_error": PostTraining("output_error", bias_correction=False),
    "output_error, bias correction, adaround": PostTraining(rounding="adaround"),
    "auto, bias correction, adaround": PostTraining("auto", rounding="adaround"),
}


def main() -> int:
    """Measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(_PARTS), default=[])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not networks.available():
        print(f"the data ({networks.DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    parts = _recorded() if not options.quick else {}
    for name in options.part or list(_PARTS):
        started = time.process_time()
        rows = _PARTS[name](options.quick)
        parts[name] = {"cpu_seconds": round(time.process_time() - started), "rows": rows}
        if not options.quick:
            record("post_training", {"parts": parts}, _checks(parts))
            into_readme("post-training", _lines(parts))
    return conclude(_checks(parts) if not options.quick else [])


def _recorded() -> dict[str, Any]:
    path = RESULTS / "post_training.json"
    return json.loads(path.read_text())["parts"] if path.exists() else {}


def _resnet20() -> Graph:
    graph = ek.load(RESNET20.module(), (torch.zeros(2, 3, 32, 32),), name="resnet20")
    return run_passes(graph, (*EXACT, *DECOMPOSE))[0]


def _logits(graph: Graph, x: Array) -> Array:
    """Of the float graph, fake-quantised where it carries ``quant``."""
    module = graph.module().eval()
    with torch.no_grad():
        return np.concatenate([module.run([torch.from_numpy(part)])[0].numpy() for part in np.array_split(x, len(x) // 100)])


def _batches(count: int, seed: int) -> list[list[torch.Tensor]]:
    return [[part] for part in torch.split(torch.from_numpy(RESNET20.samples(count, seed)), 32)]


def _int8(quick: bool) -> list[Row]:
    """ResNet-20's SQNR by method."""
    graph = _resnet20()
    x, _ = networks.test_images(200 if quick else _IMAGES)
    wanted = _logits(graph, x)
    rows = []
    for method, options in _METHODS.items():
        for equalize in (False, True) if method == "output_error, bias correction" else (False,):
            row: Row = {"method": f"equalised, {method}" if equalize else method, "sqnr_db": [], "agreement": [], "seconds": []}
            for seed in range(1 if quick else _SEEDS):
                batches = _batches(64 if quick else _CALIBRATION, seed)
                started = time.process_time()
                source = equalize_graph(graph, batches)[0] if equalize else graph
                after, done = quantize(source, batches, options=options)
                row["seconds"].append(round(time.process_time() - started, 1))
                got = _logits(after, x)
                row["sqnr_db"].append(sqnr_db(wanted, got))
                row["agreement"].append(float((wanted.argmax(1) == got.argmax(1)).mean()))
                if options.observer == "auto" and seed == 0:
                    names = list(done.observers.values())
                    row["chosen"] = {name: names.count(name) for name in dict.fromkeys(names)}
            print(row, flush=True)
            rows.append(row)
    return rows


def _int4(quick: bool) -> list[Row]:
    """ResNet-20 with 4-bit weights, as files in LiteRT."""
    x, y = networks.test_images(100 if quick else _LABELLED)
    graph = ek.load(RESNET20.module(), (torch.zeros(2, 3, 32, 32),), name="resnet20")
    wanted = _logits(_resnet20(), x)
    source = float((wanted.argmax(1) == y).mean())
    cases = {
        "nearest": QuantizationSettings(bias_correction=False),
        "nearest, bias correction": QuantizationSettings(),
        "adaround, bias correction": QuantizationSettings(rounding="adaround"),
    }
    rows: list[Row] = [{"method": "float", "top1": [source], "sqnr_db": [], "seconds": []}]
    for method, settings in cases.items():
        row: Row = {"method": method, "top1": [], "sqnr_db": [], "seconds": []}
        for seed in range(1 if quick else _SEEDS):
            started = time.process_time()
            with tempfile.TemporaryDirectory(prefix="edgekit-ptq-") as folder:
                calibration = RESNET20.samples(64 if quick else _CALIBRATION, seed)
                built = ek.build(graph, "tflite-w4a8", calibration=calibration, output=folder, quantization=settings)
                row["seconds"].append(round(time.process_time() - started, 1))
                row["bytes"] = built.artifact.stat().st_size
                got = Artifact(built.artifact).run(x)
            row["sqnr_db"].append(sqnr_db(wanted, got))
            row["top1"].append(float((got.argmax(1) == y).mean()))
            print(row, flush=True)
        rows.append(row)
    return rows


def _mobile(quick: bool) -> list[Row]:
    """The scaled MobileNetV2 with one scale for each weight, with and without equalisation."""
    with np.load(DATA / "fashion_mnist.npz") as arrays:
        images = {key: arrays[key] for key in arrays}
    count = 2000 if quick else 30_000
    x, x_test = ((images[key].astype(np.float32) / 255)[:, None] for key in ("x_train", "x_test"))
    y, y_test = (images[key].astype(np.int64) for key in ("y_train", "y_test"))
    torch.manual_seed(0)
    settings = Training(epochs=1 if quick else 3, optimizer="adam", lr=2e-3, batch_size=64, validation=0.0)
    graph = ek.load(Mobile().eval(), (torch.zeros(2, 1, 28, 28),), name="mobile")
    graph = train(graph, (x[:count], y[:count]), settings).graph
    rows: list[Row] = []
    test = (x_test[:500], y_test[:500]) if quick else (x_test, y_test)
    with tempfile.TemporaryDirectory(prefix="edgekit-ptq-") as name:
        folder = Path(name)
        per_tensor = _per_tensor(folder)
        cases: list[tuple[str, Path | str, QuantizationSettings, bool]] = [
            ("as trained, a scale for each channel", "tflite-int8", QuantizationSettings(), False),
            ("as trained, a scale for each weight", per_tensor, QuantizationSettings(), False),
            ("scaled, a scale for each channel", "tflite-int8", QuantizationSettings(), True),
            ("scaled, a scale for each weight", per_tensor, QuantizationSettings(), True),
            ("scaled, equalised, a scale for each weight", per_tensor, QuantizationSettings(equalize=True), True),
            ("scaled, equalised, a scale for each channel", "tflite-int8", QuantizationSettings(equalize=True), True),
            (
                "scaled, equalised, biases absorbed, a scale for each weight",
                per_tensor,
                QuantizationSettings(equalize=True, absorb_bias=True),
                True,
            ),
        ]
        for case, target, wanted, scaled in cases:
            row: Row = {"case": case, "source": [], "top1": [], "sqnr_db": []}
            for seed in range(1 if quick else _SEEDS):
                model = adversarially_scaled(graph, 60.0, seed) if scaled else graph
                chosen = np.random.default_rng(seed).choice(count, 256, replace=False)
                built = ek.build(
                    model, target, calibration=x[chosen], evaluate=test, output=folder / "out", quantization=wanted
                )
                (found,) = [line for line in built.report.evaluation if line.metric == "top1"]
                row["source"].append(found.source)
                row["top1"].append(found.artifact)
                row["sqnr_db"].append(built.report.verification[0].sqnr_db)
            print(row, flush=True)
            rows.append(row)
    return rows


def _per_tensor(folder: Path) -> Path:
    """A user's own target file: LiteRT's, with one scale for each weight and no floor."""
    text = (targets_folder() / "tflite-int8.toml").read_text()
    text = text.replace('granularity = "per_channel"', 'granularity = "per_tensor"')
    path = folder / "per-tensor.toml"
    path.write_text(text.replace("min_sqnr_db = 10", "min_sqnr_db = -60"))
    return path


_PARTS: dict[str, Callable[[bool], list[Row]]] = {"int8": _int8, "int4": _int4, "mobile": _mobile}


def _checks(parts: dict[str, Any]) -> list[Check]:
    checks = []
    if "int8" in parts:
        best = max(parts["int8"]["rows"], key=lambda row: statistics.mean(row["sqnr_db"]))
        checks.append(Check(f"ResNet-20, int8, {best['method']}", "SQNR, dB", statistics.mean(best["sqnr_db"]), 31.0, ">="))
    if "int4" in parts:
        rows = {row["method"]: row for row in parts["int4"]["rows"]}
        loss = {name: 100 * (rows["float"]["top1"][0] - statistics.mean(row["top1"])) for name, row in rows.items()}
        checks.append(Check("ResNet-20, W4A8, AdaRound", "points lost", loss["adaround, bias correction"], 1.5, "<="))
        nearest = loss["nearest"]
        checks.append(
            Check("ResNet-20, W4A8, nearest", "points lost more", nearest - loss["adaround, bias correction"], 0.0, ">=")
        )
    if "mobile" in parts:
        rows = {row["case"]: row for row in parts["mobile"]["rows"]}

        def lost(case: str) -> list[float]:
            return [100 * (a - b) for a, b in zip(rows[case]["source"], rows[case]["top1"], strict=True)]

        one = "a scale for each weight"
        checks.append(Check("MobileNetV2, scaled, per tensor", "points lost, least", min(lost(f"scaled, {one}")), 20.0, ">="))
        most = max(lost(f"scaled, equalised, {one}"))
        checks.append(Check("MobileNetV2, scaled, per tensor, equalised", "points lost, most", most, 1.0, "<="))
    return checks


def _lines(parts: dict[str, Any]) -> list[str]:
    """The tables of README.md."""
    lines: list[str] = []
    if "int8" in parts:
        rows = parts["int8"]["rows"]
        shown = [
            {
                "ResNet-20, int8": row["method"],
                "SQNR dB": _spread(row["sqnr_db"], "{:.2f}"),
                "agreement": f"{statistics.mean(row['agreement']):.2%}",
                "CPU s": f"{statistics.mean(row['seconds']):.0f}",
            }
            for row in rows
        ]
        chosen: dict[str, int] = next((row["chosen"] for row in rows if "chosen" in row), {})
        told = ", ".join(f"{name} {count}" for name, count in sorted(chosen.items(), key=lambda item: -item[1]))
        lines += [*table(shown), "", f'Observers that "auto" chose in the first draw, by tensors: {told}.', ""]
    if "int4" in parts:
        source = parts["int4"]["rows"][0]["top1"][0]
        shown = [
            {
                "ResNet-20, tflite-w4a8": row["method"],
                "top-1": _spread([100 * v for v in row["top1"]], "{:.2f}"),
                "points": "" if row["method"] == "float" else f"{100 * (statistics.mean(row['top1']) - source):+.2f}",
                "SQNR dB": _spread(row["sqnr_db"], "{:.2f}") if row["sqnr_db"] else "",
                "bytes": f"{row['bytes']:,}" if "bytes" in row else "",
                "CPU s": f"{statistics.mean(row['seconds']):.0f}" if row["seconds"] else "",
            }
            for row in parts["int4"]["rows"]
        ]
        lines += [*table(shown), ""]
    if "mobile" in parts:
        shown = [
            {
                "MobileNetV2, Fashion-MNIST, int8": row["case"],
                "float": _spread([100 * v for v in row["source"]], "{:.2f}"),
                "file": _spread([100 * v for v in row["top1"]], "{:.2f}"),
                "SQNR dB": _spread(row["sqnr_db"], "{:.1f}"),
            }
            for row in parts["mobile"]["rows"]
        ]
        lines += [*table(shown), ""]
    minutes = sum(part["cpu_seconds"] for part in parts.values()) / 60
    lines.append(
        f"Means of {_SEEDS} draws (lowest to highest), {_CALIBRATION} calibration images of ResNet-20, 256 of the other;"
    )
    lines.append(
        f"SQNR of the first table on {_IMAGES} test images with fake quantisation, top-1 on {_LABELLED} with files in LiteRT,"
    )
    lines.append(f"of the other network on 10,000. {minutes:.0f} CPU minutes in all.")
    return lines


def _spread(values: Sequence[float], form: str) -> str:
    mean = form.format(statistics.mean(values))
    return mean if len(values) < 2 else f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


if __name__ == "__main__":
    sys.exit(main())
