"""``NAME.stages.json``: what each staged file reads and gives, and when it answers (``edgekit.stages/1``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "edgekit.stages/1"


@dataclass(frozen=True)
class StageTensor:
    """An input or output of a stage's file.

    Attributes:
        name: in the file's signature; the same tensor is called the same in all stages.
        shape: of the file, at batch 1.
        dtype: numpy's name.
        scale: real = scale * (stored - zero_point); None where it is not quantised.
        zero_point: 0 where it is not.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True)
class Stage:
    """One file.

    Attributes:
        file: its name, beside the manifest.
        macs: multiply-accumulates of one sample in it.
        inputs, outputs: in the file's order.
        logits: the output whose certainty decides.
        answers: name of an output of the network -> the output of this file that is it.
        temperature: what the logits are divided by.
        threshold: above it the stage answers; None for the last one, which always does.
    """

    file: str
    macs: int
    inputs: tuple[StageTensor, ...]
    outputs: tuple[StageTensor, ...]
    logits: str
    answers: Mapping[str, str]
    temperature: float = 1.0
    threshold: float | None = None

    def output(self, name: str) -> StageTensor:
        """The output of this name."""
        return next(tensor for tensor in self.outputs if tensor.name == name)


@dataclass(frozen=True)
class Manifest:
    """All stages of a network, in order.

    Attributes:
        name: of the network.
        score: "confidence", "margin" or "entropy".
        stages: the files.
    """

    name: str
    score: str
    stages: tuple[Stage, ...]

    def as_dict(self) -> dict[str, Any]:
        """The content of the file."""
        return {"schema": SCHEMA, **asdict(self)}

    def text(self) -> str:
        """The file."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"


def stage_name(name: str, number: int, suffix: str) -> str:
    """``NAME.stage_0.tflite``"""
    return f"{name}.stage_{number}{suffix}"


def manifest_of(name: str, score: str, stages: Sequence[Stage]) -> Manifest:
    """The manifest of stages whose seams fit.

    Raises:
        ValueError: a stage reads what no earlier one gives in the same shape, type and scale: an error in edgekit.
    """
    known: dict[str, StageTensor] = {tensor.name: tensor for tensor in stages[0].inputs}
    for stage in stages:
        for tensor in stage.inputs:
            if known.get(tensor.name) != tensor:
                raise ValueError(f"{stage.file} reads {tensor}, and there is {known.get(tensor.name)}")
        known.update({tensor.name: tensor for tensor in stage.outputs})
    return Manifest(name, score, tuple(stages))
