"""The parts of the report that an artifact gives: what its file holds, and how it is fed and read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.formats.description import Description
from edgekit.formats.io_metadata import IoRecord, TensorIo
from edgekit.formats.stream_record import StreamRecord
from edgekit.report.model import ArtifactInfo, IoInfo, IoTensor
from edgekit.report.snippets import kotlin_snippet, python_snippet
from edgekit.report.snippets.streams import python_stream


def describe(path: str | os.PathLike[str]) -> Description:
    """What a .tflite or .onnx file holds, read without its runtime.

    Raises:
        UsageError: another kind of file.
        InputError: the file is damaged.
    """
    path = Path(path)
    if path.suffix.lower() == ".tflite":
        from edgekit.formats.tflite.describe import describe as describe_tflite

        return describe_tflite(path.read_bytes(), path.name)
    if path.suffix.lower() == ".onnx":
        from edgekit.formats.onnx.describe import describe as describe_onnx

        return describe_onnx(path.read_bytes(), path.name)
    raise UsageError(f"'{path}' is no artifact", where=path, hint="an artifact is a .tflite or an .onnx file")


def artifact_info(
    path: str | os.PathLike[str], relative_to: str | os.PathLike[str] | None = None, *, arena_bytes: int | None = None
) -> ArtifactInfo:
    """The file's size, hash, ops and where its bytes go.

    Args:
        path: the artifact.
        relative_to: the folder of the report, from which the path is given; None gives the name alone.
        arena_bytes: TFLite Micro's arena, where it was measured.
    """
    path = Path(path)
    about = describe(path)
    return ArtifactInfo(
        path=path.name if relative_to is None else Path(os.path.relpath(path, relative_to)).as_posix(),
        bytes=about.file_bytes or 0,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        format="tflite" if about.format == "tflite" else "onnx",
        operators=about.operators,
        sizes=about.sizes,
        peak_memory_bytes=about.peak_memory_bytes,
        arena_bytes=arena_bytes,
    )


def io_info(record: IoRecord, file_name: str, labels: Sequence[str] = (), stream: StreamRecord | None = None) -> IoInfo:
    """Inputs and outputs of an artifact with the code that feeds it.

    Args:
        record: the artifact's own record of them (``edgekit.runtime.artifact.Artifact(path).record``).
        file_name: the artifact's, which the code opens.
        labels: names of the classes of the first output.
        stream: the artifact's record of its stream; None for one on windows.
    """
    inputs, outputs = tuple(map(_tensor, record.inputs)), tuple(map(_tensor, record.outputs))
    if stream is not None:
        return IoInfo(inputs, outputs, tuple(labels), {"python": python_stream(file_name, stream, inputs, outputs)})
    snippets = {
        "python": python_snippet(file_name, inputs, outputs, labels),
        "kotlin": kotlin_snippet(file_name, inputs, outputs, labels),
    }
    return IoInfo(inputs, outputs, tuple(labels), snippets)


def _tensor(tensor: TensorIo) -> IoTensor:
    return IoTensor(
        name=tensor.file.name,
        shape=tensor.file.shape,
        source_shape=tensor.source_shape,
        layout=tensor.layout,
        dtype=tensor.file.dtype,
        scale=tensor.file.scale,
        zero_point=tensor.file.zero_point,
        preprocessing=None if tensor.preprocessing is None else asdict(tensor.preprocessing),
    )
