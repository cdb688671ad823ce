"""Runs a network with early exits from its staged files: one stage after the other, until one is sure enough.

Needs numpy and the runtime of the files (ai-edge-litert or onnxruntime), and nothing of edgekit: the file is copied beside the
stages. ``NAME.stages.json`` says what each stage reads and gives, and when it answers.

    stages = Stages("NAME.stages.json")
    answer = stages.run({"x": image})        # arrays as the first file takes them
    answer.outputs["logits"], answer.stage   # arrays as the files give them

A host that schedules by itself calls ``step`` for one stage at a time and keeps ``tensors`` between.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: One call of a stage's file: arrays by the file's names, in and out.
Runner = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Answer:
    """What the network says of one sample.

    Attributes:
        outputs: the network's outputs by name, in the types of the files.
        stage: which one answered, from 0.
    """

    outputs: dict[str, Array]
    stage: int


class Stages:
    """The stages of a network; each file is opened when it is first needed."""

    def __init__(self, manifest: str | Path, open_stage: Callable[[Path], Runner] | None = None) -> None:
        """Reads the manifest; the files lie beside it.

        Args:
            manifest: ``NAME.stages.json``.
            open_stage: makes a runner of a stage's file; by default LiteRT or ONNX Runtime, on one thread.
        """
        path = Path(manifest)
        self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._folder, self._open = path.parent, open_stage or open_file
        self._runners: dict[int, Runner] = {}

    def run(self, inputs: Mapping[str, Array]) -> Answer:
        """One sample (batch 1) through as many stages as it needs.

        Args:
            inputs: by name, in the shapes and types of the first file.
        """
        tensors, outputs = dict(inputs), dict[str, Array]()
        for stage in range(len(self.manifest["stages"])):
            if self.step(stage, tensors, outputs):
                return Answer(outputs, stage)
        raise ValueError("the last stage did not answer: the manifest gives it a threshold")

    def step(self, stage: int, tensors: dict[str, Array], outputs: dict[str, Array]) -> bool:
        """One stage; true where it is sure enough, or the last.

        Args:
            stage: which, from 0.
            tensors: all that there is so far, by name; what the stage gives is added.
            outputs: the network's outputs by name; what the stage knows of them is set.

        Raises:
            ValueError: a tensor is not there, or not as the file takes it.
        """
        facts = self.manifest["stages"][stage]
        if stage not in self._runners:
            self._runners[stage] = self._open(self._folder / facts["file"])
        tensors.update(self._runners[stage]({row["name"]: taken(row, tensors, facts["file"]) for row in facts["inputs"]}))
        outputs.update({name: tensors[tensor] for name, tensor in facts["answers"].items()})
        if facts["threshold"] is None:
            return True
        return bool(self.score(stage, tensors) > np.float32(facts["threshold"]))

    def score(self, stage: int, tensors: Mapping[str, Array]) -> np.float32:
        """How sure a stage that has run is of its answer."""
        facts = self.manifest["stages"][stage]
        row = next(row for row in facts["outputs"] if row["name"] == facts["logits"])
        return certainty(real(tensors[facts["logits"]], row), self.manifest["score"], facts["temperature"])


def taken(row: Mapping[str, Any], tensors: Mapping[str, Array], file: str) -> Array:
    """What a file takes under a name; ValueError where it is missing or another kind of array."""
    name = row["name"]
    wanted = f"{file} takes '{name}' as {row['dtype']}{row['shape']}"
    if name not in tensors:
        raise ValueError(f"{wanted}, and there is {', '.join(map(repr, tensors)) or 'nothing'}")
    array = np.asarray(tensors[name])
    if str(array.dtype) != row["dtype"] or list(array.shape) != list(row["shape"]):
        raise ValueError(f"{wanted}, and was given {array.dtype}{list(array.shape)}")
    return array


def real(array: Array, row: Mapping[str, Any]) -> Array:
    """What an array of a file stands for, in float32."""
    if row["scale"] is None:
        return array.astype(np.float32)
    stored: Array = (array.astype(np.int32) - row["zero_point"]).astype(np.float32)
    return stored * np.float32(row["scale"])


def certainty(logits: Array, score: str, temperature: float) -> np.float32:
    """How sure an exit is, from 0 to 1: of p = softmax(logits / temperature) the largest ("confidence"), the largest less the
    second ("margin"), or 1 - H(p) / log(classes) ("entropy").
    """
    scaled = logits.astype(np.float32).reshape(-1) * np.float32(1.0 / temperature)
    scaled = scaled - scaled.max()
    total = np.exp(scaled).sum(dtype=np.float32)
    p = np.exp(scaled) / total
    if score == "entropy":
        return np.float32(1.0 + float((p * (scaled - np.log(total))).sum()) / np.log(len(p)))
    if score == "confidence":
        return np.float32(p.max())
    second, first = np.sort(p)[-2:]
    return np.float32(first - second)


def open_file(path: Path) -> Runner:
    """A runner of a .tflite or .onnx file, on one thread."""
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda arrays: dict(zip(names, session.run(names, dict(arrays)), strict=True))
    from ai_edge_litert.interpreter import Interpreter

    call = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
    return lambda arrays: {name: np.array(array) for name, array in call(**arrays).items()}


if __name__ == "__main__":
    stages = Stages(sys.argv[1])
    with np.load(sys.argv[2]) as given:  # one sample: arrays by the names of the network's inputs
        found = stages.run({name: given[name] for name in given.files})
    print(f"stage {found.stage}:", *(f"{name} {array.reshape(-1).tolist()}" for name, array in found.outputs.items()))
