"""Which exit of a file answers each sample, as the file itself decides it in its runtime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.io_metadata import FileTensor
from edgekit.formats.onnx import paths as of_onnx
from edgekit.formats.tflite import paths as of_tflite
from edgekit.formats.tflite.read import is_tflite
from edgekit.runtime.artifact import Artifact, Inputs
from edgekit.runtime.litert import Kernels, LiteRT
from edgekit.runtime.onnx_runtime import OnnxRuntime

Array = NDArray[Any]


@dataclass(frozen=True)
class Taken:
    """Samples through a file with early exits.

    Attributes:
        exits: how many the file has, the whole network among them.
        places: the exit of every sample, 0 the first.
        answers: of every sample the file's outputs, as stored.
    """

    exits: int
    places: NDArray[np.int64]
    answers: list[list[Array]]

    @property
    def rates(self) -> tuple[float, ...]:
        """Share of the samples that leaves at each exit."""
        counts = np.bincount(self.places, minlength=self.exits)
        return tuple(float(count / max(len(self.places), 1)) for count in counts)


class Telling:
    """A file with early exits that tells which one answered."""

    def __init__(self, content: bytes, kernels: Kernels = "default") -> None:
        """Opens it; ``exits`` is 0 for a file without early exits, and then it can't be run.

        Raises:
            InputError: a damaged file.
            UsageError: its runtime is not installed here.
        """
        self.exits, self.inputs = 0, tuple[FileTensor, ...]()
        found = of_tflite.telling(content) if is_tflite(content) else of_onnx.telling(content)
        if found is not None:
            self._runtime = LiteRT(found[0], kernels) if is_tflite(content) else OnnxRuntime(found[0])
            self.exits, self.inputs = found[1], self._runtime.inputs

    def run(self, rows: Iterable[list[Array]]) -> Taken:
        """Samples as the file stores them, one a row: an array for each input."""
        answers = [self._runtime.invoke(row) for row in rows]
        places = np.array([int(answer[-1].reshape(-1)[0]) for answer in answers], np.int64)
        return Taken(self.exits, places, [answer[:-1] for answer in answers])


def exits_taken(content: bytes, inputs: Inputs, kernels: Kernels = "default") -> Taken | None:
    """Stacked samples, as `Artifact.run` takes them, through a .tflite or .onnx file; None for a file without early exits.

    Raises:
        InputError: the inputs do not fit, or the file is damaged.
    """
    telling = Telling(content, kernels)
    if not telling.exits:
        return None
    file = Artifact(content, kernels=kernels)
    stored, axes = file.stored(inputs), [tensor.file_batch for tensor in file.record.inputs]
    pairs = list(zip(stored, axes, strict=True))
    count = next((array.shape[axis] for array, axis in pairs if axis is not None), 1)
    return telling.run([a if axis is None else a.take([row], axis) for a, axis in pairs] for row in range(count))
