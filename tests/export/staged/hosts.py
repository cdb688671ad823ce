"""A staged network on disk, and what its stages gave for some samples: what loops in other languages are held against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgekit as ek
from edgekit.export.staged.loop import Answer, Stages
from tests.exits import network, samples

NAME = "tiny-net"


@dataclass(frozen=True)
class Recorded:
    """One sample: every tensor of the stages that ran, and the answer."""

    tensors: dict[str, NDArray[Any]]
    answer: Answer


def build(folder: Path, score: str, target: str = "tflite-int8", **options: Any) -> tuple[Path, Any]:
    """The manifest of a small network with three exits, and the report of its build."""
    x = samples(200).numpy()
    made = ek.build(network(score), target, calibration=x, exits="staged", output=folder, name=NAME, **options)
    return made.artifact.parent / f"{NAME}.stages.json", made.report


def record(manifest: Path, count: int) -> list[Recorded]:
    """Samples that leave at all exits, through the loop in Python."""
    stages, found = Stages(manifest), []
    row = stages.manifest["stages"][0]["inputs"][0]
    for image in samples(count, seed=3).numpy():
        stored = np.moveaxis(image, 0, -1)[None]
        if row["scale"] is not None:
            limits = np.iinfo(row["dtype"])
            stored = (np.rint(stored / row["scale"]) + row["zero_point"]).clip(limits.min, limits.max)
        tensors, outputs = {row["name"]: stored.astype(row["dtype"])}, dict[str, NDArray[Any]]()
        answered = next(i for i in range(len(stages.manifest["stages"])) if stages.step(i, tensors, outputs))
        found.append(Recorded(tensors, Answer(outputs, answered)))
    return found


def write_tensors(recorded: list[Recorded], folder: Path) -> None:
    """One file a tensor and sample, for programs in other languages: ``0.NAME``."""
    for number, sample in enumerate(recorded):
        for name, array in sample.tensors.items():
            (folder / f"{number}.{name}").write_bytes(array.tobytes())


def told(recorded: list[Recorded]) -> list[str]:
    """A line a sample, as the programs print it: the stage, and the sum of the answer's bytes."""
    return [f"{s.answer.stage} {sum(s.answer.outputs['answer'].tobytes())}" for s in recorded]


def facts(manifest: Path) -> dict[str, Any]:
    """The content of a manifest."""
    content: dict[str, Any] = json.loads(manifest.read_text())
    return content
