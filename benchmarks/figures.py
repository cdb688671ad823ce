"""Figures of artifacts: each function builds files of one network and measures them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import edgekit as ek
from benchmarks import networks
from benchmarks.checks import Check
from benchmarks.latency import ratio
from benchmarks.networks import Network
from edgekit.bench import micro
from edgekit.bench.qemu import count_instructions
from edgekit.formats.tflite.read import read
from edgekit.metrics import max_abs_error, sqnr_db, top1_agreement
from edgekit.runtime.artifact import Artifact

Figures = dict[str, Any]
Array = NDArray[Any]

CORES = ("cortex-a53", "cortex-a76")

#: Seeds of the samples: those to calibrate with and those for the figures.
_CALIBRATION_SEED, _HELD_OUT_SEED = 1, 2


def measure_int8(network: Network, folder: Path, *, cost: bool, draw: int | None = None, images: int = 0) -> Figures:
    """``tflite-int8`` of a network.

    Args:
        network: which.
        folder: for the files.
        cost: count instructions and take the latency too.
        draw: of ResNet-20's calibration images.
        images: test images for ResNet-20's accuracy.
    """
    seed = _CALIBRATION_SEED if draw is None else draw
    calibration = network.samples(network.calibration, seed)
    built = build(network, network.module(), "tflite-int8", folder, calibration)
    kinds = operators(built.artifact)
    row: Figures = {
        "network": network.title,
        "target": "tflite-int8",
        "bytes": built.artifact.stat().st_size,
        "ops": sum(kinds.values()),
        "kinds": kinds,
    }
    row |= _simulation(built)
    row |= _accuracy(network, folder, calibration, images, built.artifact)
    row |= {"instructions": {}, "peer_instructions": {}}
    if cost:
        row |= _cost(network, folder, built.artifact)
    return row


def merged(draws: Sequence[Figures]) -> Figures:
    """One row of several calibration draws: means of the accuracies, the worst of what must hold for all, else the first's."""
    row = dict(draws[0])
    for key in ("sqnr_db", "agreement", "top1", "top1_change"):
        row[key] = float(np.mean([d[key] for d in draws]))
    row["sqnr_db_of_draws"] = [d["sqnr_db"] for d in draws]
    row["bytes"] = max(d["bytes"] for d in draws)
    row["equal_integers"] = min(d["equal_integers"] for d in draws)
    row["steps_apart"] = max(d["steps_apart"] for d in draws)
    return row


def measure_micro(network: Network, folder: Path) -> Figures:
    """``tflm-int8`` of a network: its size, and its arena beside that of TensorFlow's file."""
    calibration = network.samples(network.calibration, _CALIBRATION_SEED)
    built = build(network, network.module(), "tflm-int8", folder / "micro", calibration)
    kinds = operators(built.artifact)
    row = {"network": network.title, "target": "tflm-int8", "bytes": built.artifact.stat().st_size, "ops": sum(kinds.values())}
    row |= {"kinds": kinds}
    if micro.available():
        own = micro.arena(built.artifact)
        row |= {"arena_head": own.head, "arena_total": own.total}
        if network.peer_file is not None:
            peer = micro.arena(network.peer_file)
            row |= {"peer_arena_head": peer.head, "peer_arena_total": peer.total}
    return row


def measure_resnet20_floats(network: Network, folder: Path, images: int) -> tuple[list[Figures], list[Check]]:
    """ResNet-20's other files: both float ones, which must be exact, and ``onnx-int8``."""
    module = network.module()
    x, labels = networks.test_images(images)
    wanted = run(module, x)
    calibration = network.samples(network.calibration, 0)
    rows, checks = [], []
    for target in ("tflite-fp32", "onnx-fp32", "onnx-int8"):
        built = build(network, module, target, folder / "others", calibration if target == "onnx-int8" else None)
        got = Artifact(built.artifact).run(x)
        same, sqnr = top1_agreement(wanted, got), sqnr_db(wanted, got)
        rows.append({"network": network.title, "target": target, "bytes": built.artifact.stat().st_size})
        rows[-1] |= {"sqnr_db": sqnr, "agreement": same, "max_abs_error": max_abs_error(wanted, got)}
        rows[-1] |= {"top1": float(np.mean(got.argmax(1) == labels))}
        subject = f"{network.title} {target}"
        if target == "onnx-int8":
            checks.append(Check(subject, "SQNR of logits, dB", sqnr, 30.5, ">="))
            checks.append(Check(subject, "agreement", same, 0.9915, ">="))
        else:
            checks.append(Check(subject, "agreement", same, 1.0, ">="))
            checks.append(Check(subject, "largest error", rows[-1]["max_abs_error"], 1e-4, "<="))
    return rows, checks


# ---------------------------------------------------------------------- parts


def build(network: Network, module: nn.Module, target: str, folder: Path, calibration: Array | None) -> ek.flow.Build:  # type: ignore[name-defined]
    """One target, verified; a parity below the floor raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = network.example()
        return ek.build(module, target, calibration=calibration, example_inputs=(example,), output=folder, name=network.name)


def run(module: nn.Module, x: Array) -> Array:
    """The module's outputs for stacked samples."""
    with torch.no_grad():
        parts = [module(torch.from_numpy(part)).numpy() for part in np.array_split(x, max(1, len(x) // 32))]
    return np.concatenate(parts)


def operators(path: Path) -> dict[str, int]:
    """Operators of a .tflite file by kind."""
    model = read(path.read_bytes())
    return dict(Counter(o.code.name for graph in model.subgraphs for o in graph.operators))


def _simulation(built: Any) -> Figures:
    """How far the integer simulation is from LiteRT's reference kernels, as the build found it."""
    row = next(r for r in built.report.verification if r.against == "simulation")
    scale = Artifact(built.artifact).record.outputs[0].file.scale
    return {"equal_integers": row.equal_integers, "steps_apart": None if scale is None else row.max_abs_error / scale}


def _accuracy(network: Network, folder: Path, calibration: Array, images: int, artifact: Path) -> Figures:
    """SQNR of the logits and agreement, on samples that were not calibrated with."""
    if network.name == "resnet20":
        x, labels = networks.test_images(images)
        wanted, got = run(network.module(), x), Artifact(artifact).run(x)
        top1 = float(np.mean(got.argmax(1) == labels))
        change = 100 * (top1 - float(np.mean(wanted.argmax(1) == labels)))
        return {
            "sqnr_db": sqnr_db(wanted, got),
            "agreement": top1_agreement(wanted, got),
            "top1": top1,
            "top1_change": change,
        }
    bare = network.module(softmax=False)
    x = network.samples(network.held_out, _HELD_OUT_SEED)
    built = build(network, bare, "tflite-int8", folder / "logits", calibration)
    wanted, got = run(bare, x), Artifact(built.artifact).run(x)
    return {
        "sqnr_db": sqnr_db(wanted, got),
        "agreement": None if network.name == "fcae" else top1_agreement(wanted, got),
    }


def _cost(network: Network, folder: Path, artifact: Path) -> Figures:
    """Instructions on both cores and latency, beside TensorFlow's file or, of the vision transformer, its own float file."""
    found: Figures = {"instructions": {core: count_instructions(artifact, core) for core in CORES}}
    peer = network.peer_file
    if peer is not None:
        found["peer_instructions"] = {core: count_instructions(peer, core) for core in CORES}
        found["latency_ratio"] = ratio(artifact, peer, seconds=3.0, processes=5)
    if network.name == "vit":
        floats = build(network, network.module(), "tflite-fp32", folder / "float", None)
        found["float_instructions"] = {core: count_instructions(floats.artifact, core) for core in CORES}
        found["latency_ratio_to_float"] = ratio(artifact, floats.artifact, seconds=3.0, processes=3)
    return found
