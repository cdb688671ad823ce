"""What comes of .tflite files as sources, beside TensorFlow's own int8 files of the same networks.

    python -m benchmarks.tflite_source [--only NAME]...

Loads MLPerf Tiny's ResNet-8 (from TFLite and from Keras), MobileNetV1 and autoencoder and a small LSTM from their float files,
builds int8 and float files and compares them with LiteRT running the source; then loads TensorFlow's int8 files and writes
them again, which must give the same integers. Records ``results/tflite_source.json`` and the table of README.md. The Keras
file needs ``EDGEKIT_TENSORFLOW_PYTHON`` (docs/sources.md).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import edgekit as ek
from benchmarks.checks import Check, conclude, into_readme, record, table
from benchmarks.networks import DATA, MLPERF_TINY, available
from edgekit.bench.qemu import count_instructions
from edgekit.formats.tflite.read import read
from edgekit.runtime.litert import LiteRT

Array = NDArray[Any]
Figures = dict[str, Any]

_CORE = "cortex-a53"
_CALIBRATION, _HELD_OUT, _IMAGES = 256, 64, 5000


@dataclass(frozen=True)
class Source:
    """A network of which there are files.

    Attributes:
        name: for the command line.
        title: as people call it.
        file: the float file in the folder of models.
        peer: TensorFlow's int8 file, "" for none.
    """

    name: str
    title: str
    file: str
    peer: str = ""

    def samples(self, count: int, seed: int) -> Array:
        """Inputs as the file takes them."""
        if self.name.startswith("resnet8"):
            with np.load(DATA / "cifar10.npz") as arrays:
                images = arrays["x_train"]
            return images[np.random.default_rng(seed).choice(len(images), count, replace=False)].astype(np.float32)
        if self.name == "lstm":
            with np.load(DATA / "fashion_mnist.npz") as arrays:
                images = arrays["x_train"]
            chosen = images[np.random.default_rng(seed).choice(len(images), count, replace=False)]
            return np.ascontiguousarray(chosen.astype(np.float32) / 255)
        network = next(n for n in MLPERF_TINY if n.name == {"mobilenet": "mbv1_025", "autoencoder": "fcae"}[self.name])
        made = network.samples(count, seed)
        return np.ascontiguousarray(made.transpose(0, 2, 3, 1)) if made.ndim == 4 else made


SOURCES = (
    Source("resnet8", "ResNet-8", "resnet8_cifar10_fp32.tflite", "resnet8_cifar10_int8_tf"),
    Source("resnet8_h5", "ResNet-8 of Keras", "resnet8_cifar10.h5", "resnet8_cifar10_int8_tf"),
    Source("mobilenet", "MobileNetV1-0.25", "mobilenet_v1_025_vww_fp32.tflite", "mobilenet_v1_025_vww_int8_tf"),
    Source("autoencoder", "FC autoencoder", "autoencoder_ad_fp32.tflite", "autoencoder_ad_int8_tf"),
    Source("lstm", "LSTM", "lstm_mnist_fp32.tflite"),
)
AGAIN = (
    *dict.fromkeys(source.peer for source in SOURCES if source.peer),
    "dscnn_kws_int8_tf",
    "streaming_wakeword_int8_tf",
)


def main() -> int:
    """Build, measure, print, record; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[s.name for s in SOURCES], default=[])
    options = parser.parse_args()
    if not available():
        print(f"the data ({DATA}) or the reference networks beside it are not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-tflite-") as name:
        for source in SOURCES:
            if not options.only or source.name in options.only:
                rows += from_float(source, Path(name))
        if not options.only:
            rows += [again(peer, Path(name)) for peer in AGAIN]
    for row in rows:
        print(row, flush=True)
    checks = [check for row in rows for check in _checks(row)]
    if not options.only:
        versions = {n: metadata.version(n) for n in ("torch", "ai-edge-litert", "onnxruntime")}
        record("tflite_source", {"versions": versions, "figures": rows}, checks)
        into_readme("tflite_source", [*table([_shown(row) for row in rows]), "", *_EXPLAINED])
    return conclude(checks)


def from_float(source: Source, folder: Path) -> list[Figures]:
    """Rows of the files that are built from a float file."""
    path = DATA / "models" / source.file
    graph = ek.load(path)
    held_out = source.samples(_HELD_OUT, 2)
    wanted = graph.source(torch.from_numpy(held_out)).numpy()
    rows: list[Figures] = []
    micro = ["tflm-int8"] if source.name == "autoencoder" else []
    for target in ("tflite-fp32", "onnx-fp32", "tflite-int8", *micro, "onnx-int8"):
        built = ek.build(
            graph, target, calibration=source.samples(_CALIBRATION, 1), output=folder / source.name, name=source.name
        )
        got = ek.run(built.artifact, held_out)
        row: Figures = {
            "source": f"{source.title}, float32",
            "target": target,
            "bytes": built.artifact.stat().st_size,
            "source_bytes": path.stat().st_size,
            "relative_error": float(np.abs(got - wanted).max() / np.abs(wanted).max()),
        }
        if target.startswith("tfl"):
            row |= _of_file(built.artifact)
        if target in ("tflite-int8", "tflm-int8") and source.peer:
            peer = DATA / "models" / f"{source.peer}.tflite"
            row |= {f"peer_{key}": value for key, value in _of_file(peer).items()} | {"peer_bytes": peer.stat().st_size}
        if source.name.startswith("resnet8"):
            row |= _accuracy(graph, built.artifact)
        rows.append(row)
    return rows


def _of_file(path: Path) -> Figures:
    kinds = read(path.read_bytes()).op_counts()
    return {
        "ops": sum(kinds.values()),
        "transposes": kinds.get("TRANSPOSE", 0),
        "instructions": count_instructions(path, _CORE),
    }


def _accuracy(graph: Any, artifact: Path) -> Figures:
    """Top-1 in percent of the source and of a file on CIFAR-10's test images."""
    with np.load(DATA / "cifar10.npz") as arrays:
        x, y = arrays["x_test"][:_IMAGES].astype(np.float32), arrays["y_test"][:_IMAGES].reshape(-1)
    source = graph.source(torch.from_numpy(x)).numpy()
    return {
        "top1": 100 * float((ek.run(artifact, x).argmax(-1) == y).mean()),
        "source_top1": 100 * float((source.argmax(-1) == y).mean()),
    }


def again(name: str, folder: Path) -> Figures:
    """The row of an int8 file that is loaded and written again."""
    path = DATA / "models" / f"{name}.tflite"
    built = ek.build(ek.load(path), "tflite-int8", output=folder / name, name=name)
    first, second = LiteRT(path, "reference"), LiteRT(built.artifact, "reference")
    random, equal, apart, count = np.random.default_rng(3), 0, 0, 0
    for _ in range(_HELD_OUT):
        given = [random.integers(-128, 128, info.shape).astype(np.int8) for info in first.inputs]
        for ours, theirs in zip(second.invoke(given), first.invoke(given), strict=True):
            steps = np.abs(ours.astype(int) - theirs.astype(int))
            equal, apart, count = equal + int((steps == 0).sum()), max(apart, int(steps.max())), count + steps.size
    row = {"source": f"{name}.tflite", "target": "tflite-int8", "bytes": built.artifact.stat().st_size}
    row |= {"source_bytes": path.stat().st_size, "equal_integers": equal / count, "steps_apart": apart}
    row |= _of_file(built.artifact)
    return row | {f"peer_{key}": value for key, value in _of_file(path).items()} | {"peer_bytes": path.stat().st_size}


def _checks(row: Figures) -> list[Check]:
    subject = f"{row['source']} to {row['target']}"
    checks = []
    if row["target"].endswith("fp32"):
        checks.append(Check(subject, "largest error relative to LiteRT running the source", row["relative_error"], 1e-4, "<="))
    compared = [key for key in ("bytes", "ops", "instructions") if f"peer_{key}" in row]
    checks += [Check(subject, f"{key}, TensorFlow's file as the bar", row[key], row[f"peer_{key}"], "<=") for key in compared]
    if "transposes" in row:
        checks.append(Check(subject, "TRANSPOSE", row["transposes"], 0, "<="))
    if "equal_integers" in row:
        checks.append(Check(subject, "equal integers, reference kernels", row["equal_integers"], 1.0, ">="))
    if "top1" in row:
        checks.append(Check(subject, "|change of top-1|, points", abs(row["top1"] - row["source_top1"]), 0.3, "<="))
    return checks


def _shown(row: Figures) -> dict[str, str]:
    def beside(key: str) -> str:
        if key not in row:
            return ""
        peer = row.get(f"peer_{key}")
        return f"{row[key]:,}" + (f" ({peer:,})" if peer is not None else "")

    top1 = f"{row['top1']:.2f} ({row['source_top1']:.2f})" if "top1" in row else ""
    near = f"{row['relative_error']:.1e}" if "relative_error" in row else f"{row['equal_integers']:.2%} of integers equal"
    return {
        "source": row["source"],
        "target": row["target"],
        "bytes": beside("bytes"),
        "ops": beside("ops"),
        "instructions": beside("instructions"),
        "top-1 %": top1,
        "against the source": near,
    }


_EXPLAINED = (
    "In brackets: TensorFlow's own int8 file of the network; behind top-1, the source's. Instructions: ARM64, one call on an",
    "emulated Cortex-A53. Against the source: largest difference from LiteRT running the source file, relative to the largest",
    "output; for int8 files that are loaded and written again, how many output integers are equal in the reference kernels.",
    "Of the autoencoder's linear layers, tflite-int8 leaves a scale for each channel to those that gain by it; in tflm-int8",
    "all have one scale, as in TensorFlow's file.",
)

if __name__ == "__main__":
    raise SystemExit(main())
