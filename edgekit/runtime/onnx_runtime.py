"""A thin door to ONNX Runtime: one file, numpy in, numpy out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, UsageError
from edgekit.formats.io_metadata import IO_KEY, FileTensor
from edgekit.formats.stream_record import STREAM_KEY
from edgekit.runtime.batched import Batched

Array = NDArray[Any]

#: ONNX Runtime's names of tensor types that differ from numpy's.
_TYPES = {"float": "float32", "double": "float64"}


class OnnxRuntime(Batched):
    """An .onnx file, loaded and ready to run on the CPU."""

    def __init__(self, model: str | Path | bytes, threads: int = 1, *, where: object | None = None) -> None:
        """Load a file.

        Args:
            model: a path, or the bytes of a file.
            threads: CPU threads.
            where: what to name in an error; the path where one is given.

        Raises:
            UsageError: onnxruntime is not installed.
            InputError: ONNX Runtime refuses the file.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise UsageError(
                "ONNX Runtime is not installed", where=sys.executable, hint="pip install 'edgekit[build]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal errors only: the reason of any other is in the exception
        self.where = where if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            raise InputError(
                f"ONNX Runtime cannot load this file: {error}",
                where=self.where,
                hint="build the artifact again, or update onnxruntime: older ones lack newer operators",
            ) from error
        self.inputs = tuple(_describe(item) for item in self._session.get_inputs())
        self.outputs = tuple(_describe(item) for item in self._session.get_outputs())
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.record: str | None = metadata.get(IO_KEY)
        self.stream: str | None = metadata.get(STREAM_KEY)

    def takes_one_batch(self, axes: Sequence[int | None]) -> bool:
        """Whether the file fixes how many samples a call takes, along these axes of its inputs and outputs."""
        shapes = [info.shape for info in (*self.inputs, *self.outputs)]
        stacked = [(shape, axis) for shape, axis in zip(shapes, axes, strict=True) if axis is not None]
        return bool(stacked) and all(axis < len(shape) and shape[axis] is not None for shape, axis in stacked)

    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        """One call with arrays in the file's order and types.

        Raises:
            InputError: the inputs do not fit the file, or the runtime fails.
        """
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{len(inputs)} inputs were given, this file takes {len(self.inputs)}",
                where=self.where,
                hint=", ".join(info.name for info in self.inputs),
            )
        feed = {info.name: np.asarray(array, order="C") for info, array in zip(self.inputs, inputs, strict=True)}
        try:
            return list(self._session.run(None, feed))
        except Exception as error:  # as above
            raise InputError(
                f"ONNX Runtime failed while running: {error}",
                where=self.where,
                hint="compare the inputs' shapes and types with those of the file: `edgekit inspect`; "
                "`edgekit compare --input-shape` sizes the dimensions that it leaves open",
            ) from error


def _describe(item: Any) -> FileTensor:
    kind = str(item.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else None for size in item.shape)
    return FileTensor(item.name, shape, _TYPES.get(kind, kind))
