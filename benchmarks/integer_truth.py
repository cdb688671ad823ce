"""Integer truth: ``edgekit.ir.simulate`` beside the runtimes that execute the same integers, on 1,000 inputs a network.

    python -m benchmarks.integer_truth [--only NAME]... [--inputs N] [--cache FOLDER]

For ResNet-20 and MLPerf Tiny's four networks, each as tflite-int8, tflite-w4a8 and tflite-int16, and the graph of tflite-int8
as an ONNX file too: the integers of the logits as our simulation computes them against LiteRT's reference kernels, its XNNPACK
kernels and ONNX Runtime, and these against each other: the share of equal integers, the histogram of their differences and how
often the largest is the same. With a cache, a run that was broken off goes on where it stopped. Records
``results/integer_truth.json`` and the table of README.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import networks
from benchmarks.checks import RESULTS, Check, conclude, into_readme, record, table
from benchmarks.networks import Network
from edgekit.ir import Graph

#: Agreement of labels with the reference kernels, at least.
AGREEMENT = 0.999

#: Targets whose integers are compared, with what they are called.
TARGETS = ("tflite-int8", "tflite-w4a8", "tflite-int16")

#: Inputs whose integers are kept in one file.
PORTION = 50

#: Differences from -LARGEST to LARGEST are told apart, larger ones are counted with the outermost.
LARGEST = 3

Integers = NDArray[np.int64]
Figures = dict[str, Any]


def main() -> int:
    """Build, run, compare, record; see the module's text."""
    every = [networks.RESNET20, *networks.MLPERF_TINY]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[network.name for network in every], default=[])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--cache", type=Path, help="where integers are kept, by network, target and who computed them")
    options = parser.parse_args()
    if not networks.available():
        print(f"the data ({networks.DATA}) or the reference networks beside it are not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows: list[Figures] = []
    for network in every:
        if not options.only or network.name in options.only:
            for row in _of_network(network, options.inputs, options.cache):
                print(row, flush=True)
                rows.append(row)
    versions = {name: metadata.version(name) for name in ("torch", "ai-edge-litert", "onnxruntime")}
    fresh = {row["network"] for row in rows}
    rows += [row for row in _recorded(versions) if row["network"] not in fresh]
    order = [network.title for network in every]
    rows.sort(key=lambda row: (order.index(row["network"]), TARGETS.index(row["target"])))
    checks = [
        Check(f"{row['network']} {row['target']}", *_figure(pair), AGREEMENT, ">=")
        for row in rows
        for pair in row["pairs"]
        if pair["of"] == ["simulation", "reference"]
    ]
    record("integer_truth", {"versions": versions, "figures": rows}, checks)
    into_readme("integer_truth", _lines(rows))
    return conclude(checks)


def _figure(pair: Figures) -> tuple[str, float]:
    """Agreement of labels, or of integers where a network gives no scores."""
    if pair["agreement"] is None:
        return "integers as the reference kernels'", float(pair["equal"])
    return "top-1 as the reference kernels'", float(pair["agreement"])


def _recorded(versions: Mapping[str, str]) -> list[Figures]:
    """Earlier rows, where they were measured with the same versions."""
    path = RESULTS / "integer_truth.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    return list(content["figures"]) if content.get("versions") == versions else []


def _of_network(network: Network, inputs: int, cache: Path | None) -> Iterator[Figures]:
    from edgekit.compress.quantize.policy import LITERT
    from edgekit.compress.quantize.post_training import PostTraining, quantize
    from edgekit.frontend.source import load
    from edgekit.passes import DECOMPOSE, EXACT, run_passes
    from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
    from edgekit.precision import PrecisionPlan
    from edgekit.target import Target

    graph, _ = run_passes(
        load(network.module(softmax=False), (network.example(),)), (*EXACT, *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS)
    )
    calibration = [[torch.from_numpy(network.samples(network.calibration, 0))]]
    x = networks.test_images(inputs)[0] if network.name == "resnet20" else network.samples(inputs, 1)
    for target in TARGETS:
        plan = PrecisionPlan(Target.load(target).quantization.precision)
        quantized, _ = quantize(graph, calibration, policy=LITERT, options=PostTraining("min_max"), plan=plan)
        kept = None if cache is None else cache / f"{network.name}-{target}"
        found = _integers(quantized, x, kept, onnx=target == TARGETS[0])
        yield {
            "network": network.title,
            "target": target,
            "inputs": len(x),
            "pairs": [_compared(*pair) for pair in itertools.combinations(found.items(), 2)],
        }


def _integers(graph: Graph, x: NDArray[np.float32], kept: Path | None, *, onnx: bool) -> dict[str, Integers]:
    """The integers of the first output, by who computed them; kept in a folder, a portion of the inputs a file."""
    from edgekit.export.onnx import export as export_onnx
    from edgekit.export.tflite.exporter import export as export_tflite
    from edgekit.ir import simulate
    from edgekit.runtime.artifact import Artifact

    file = export_tflite(graph)
    quant = graph.outputs[0].quant
    assert quant is not None
    scale = np.float32(quant.scale[0])
    runs: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]] = {
        "simulation": lambda part: simulate(graph, torch.from_numpy(part)).numpy(),
        "reference": lambda part: Artifact(file, kernels="reference").run_flat([part])[0],
        "XNNPACK": lambda part: Artifact(file).run_flat([part])[0],
    }
    if onnx:
        content = export_onnx(graph)
        runs["ONNX Runtime"] = lambda part: Artifact(content).run_flat([part])[0]
    found = {}
    for name, run in runs.items():
        parts = []
        for start in range(0, len(x), PORTION):
            path = None if kept is None else kept / f"{name}-{start}.npy"
            if path is not None and path.exists():
                parts.append(np.load(path))
                continue
            parts.append(np.rint(run(x[start : start + PORTION]) / scale).astype(np.int64))
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, parts[-1])
        found[name] = np.concatenate(parts)
    return found


def _compared(first: tuple[str, Integers], second: tuple[str, Integers]) -> Figures:
    """Two results: equal integers, their differences, and how often the largest is the same."""
    a, b = first[1], second[1]
    difference = b - a
    bounded = np.clip(difference, -LARGEST, LARGEST)
    places = range(-LARGEST, LARGEST + 1)
    scores = a.ndim == 2 and 1 < a.shape[1] <= 100
    return {
        "of": [first[0], second[0]],
        "equal": float((difference == 0).mean()),
        "histogram": {str(place): int((bounded == place).sum()) for place in places},
        "largest": int(np.abs(difference).max()),
        "agreement": float((a.argmax(1) == b.argmax(1)).mean()) if scores else None,
    }


def _lines(rows: list[Figures]) -> list[str]:
    shown = []
    for row in rows:
        for pair in row["pairs"]:
            counts = pair["histogram"]
            total = sum(counts.values())
            shares = " / ".join(f"{100 * (counts[str(k)] + counts[str(-k)]) / total:.2f}" for k in range(1, LARGEST + 1))
            shown.append(
                {
                    "network": row["network"],
                    "target": row["target"],
                    "inputs": f"{row['inputs']:,}",
                    "between": " and ".join(pair["of"]),
                    "equal integers": f"{100 * pair['equal']:.2f}%",
                    "1 / 2 / 3 or more apart, %": shares,
                    "largest": str(pair["largest"]),
                    "same top-1": "" if pair["agreement"] is None else f"{100 * pair['agreement']:.2f}%",
                }
            )
    return [*table(shown), "", *_EXPLAINED]


_EXPLAINED = (
    "Integers of the logits, before a softmax; ResNet-20 on CIFAR-10's test images, the others on made inputs in their range.",
    "XNNPACK is LiteRT's default; 16-bit activations and 4-bit convolutions it leaves to LiteRT's own kernels.",
    "The ONNX file holds the same integers and scales; its outputs are dequantised in the file.",
)


if __name__ == "__main__":
    raise SystemExit(main())
