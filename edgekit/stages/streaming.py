"""The lowered graph on frames: its file, run call by call, and compared with the file on windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit import metrics
from edgekit.errors import UsageError
from edgekit.formats.stream_record import StreamOutput, StreamRecord
from edgekit.ir import Graph
from edgekit.report import StreamInfo, Verification
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.stream import Stream
from edgekit.stages.feeding import fed, first
from edgekit.stages.verify import runtime_of
from edgekit.stream_settings import Streaming
from edgekit.streaming import to_frames
from edgekit.target import Target

Array = np.ndarray[Any, Any]

#: Windows that are fed frame by frame.
_WINDOWS = 8

#: What a stream may be from the run on windows: floats are summed in another order where a kernel sees another shape; integers
#: are equal but for a float island's last bits.
_FLOOR_DB = {"float": 80.0, "integer": 35.0}

#: Bytes of a quantised element.
_BYTES = {"int8": 1, "uint8": 1, "int16": 2}


@dataclass(frozen=True)
class Streamed:
    """A model on frames.

    Attributes:
        graph: takes one call's frames and the states.
        content: its file.
        rows: how the stream compares with the run on windows.
        info: for the report.
    """

    graph: Graph
    content: bytes
    rows: tuple[Verification, ...]
    info: StreamInfo


def streamed(
    lowered: Graph,
    offline: bytes,
    export: Callable[[Graph], bytes],
    streaming: Streaming,
    raw: Sequence[Array],
    target: Target,
) -> Streamed:
    """Makes the model on frames of what was exported on windows, and runs both.

    Args:
        lowered: on windows, as the target has it.
        offline: its file.
        export: makes such a file of another graph.
        streaming: where time is, and how many frames a call takes.
        raw: samples of windows, as the artifact takes them.
        target: says what runs the file.

    Raises:
        Unsupported: as `edgekit.streaming.to_frames`.
        UsageError: a target without streams, or settings that do not fit the model.
    """
    if target.runtime in ("c99", "larq") or (target.exporter == "onnx" and streaming.state == "variables"):
        keeps = target.exporter == "onnx"
        raise UsageError(
            f"'{target.name}' has no {'variables to keep states in' if keeps else 'streams'}",
            where="[streaming] state" if keeps else "[streaming]",
            hint='state = "io"' if keeps else "a target of TFLite or ONNX",
        )
    graph = to_frames(lowered, streaming)
    content = export(graph)
    row = _compared(lowered, graph, Artifact(offline), Stream(content), first(raw, lowered, _WINDOWS), target)
    return Streamed(graph, content, (row,), _info(lowered, graph))


def _compared(
    lowered: Graph, graph: Graph, offline: Artifact, stream: Stream, raw: Sequence[Array], target: Target
) -> Verification:
    """Each window from the start of a stream, every step of every output."""
    wanted: list[Array] = []
    got: list[Array] = []
    equal: list[Array] = []
    windows = list(fed(raw, lowered, 1))
    for window in windows:
        stream.reset()
        rows = stream.run(dict(zip((v.name for v in lowered.inputs), _filled(stream.record, window, lowered), strict=True)))
        for value, output, mine, theirs in zip(
            graph.outputs, stream.record.outputs, rows, offline.run_flat(window), strict=False
        ):
            a, b = parts(output, mine, theirs)
            wanted.append(b.astype(np.float32).reshape(-1))
            got.append(a.astype(np.float32).reshape(-1))
            if value.quant is not None:
                equal.append(np.rint((wanted[-1] - got[-1]) / value.quant.scale[0]) == 0)
    theirs, mine = np.concatenate(wanted), np.concatenate(got)
    sqnr = metrics.sqnr_db(theirs, mine)
    floor = _FLOOR_DB["integer" if target.quantization.needs_calibration else "float"]
    runtime, version = runtime_of(target)
    return Verification(
        "windows",
        runtime,
        version,
        "default",
        len(windows),
        sqnr,
        metrics.max_abs_error(theirs, mine),
        equal_integers=float(np.concatenate(equal).mean()) if equal else None,
        floor_db=floor,
        passed=sqnr >= floor,
    )


def _filled(record: StreamRecord, window: Sequence[Array], graph: Graph) -> list[Array]:
    """A window with zeros behind it, so that it makes up whole calls and every output is ready."""
    calls = max(-(-record.window // record.hop), *(output.ready for output in record.outputs))
    axes = dict(record.inputs)
    filled = []
    for value, array in zip(graph.inputs, window, strict=True):
        if value.name in axes:
            behind = [(0, 0)] * array.ndim
            behind[axes[value.name]] = (0, calls * record.hop - record.window)
            array = np.pad(array, behind)
        filled.append(array)
    return filled


def parts(output: StreamOutput, mine: Array, theirs: Array) -> tuple[Array, Array]:
    """What a stream gave since its start, and the outputs on the window, where both are to be equal."""
    if output.axis is None:
        return mine[output.ready - 1], theirs
    steps = range(output.warm, min(theirs.shape[output.axis], mine.shape[output.axis] - output.offset))
    return np.take(mine, [output.offset + step for step in steps], output.axis), np.take(theirs, steps, output.axis)


def _info(lowered: Graph, graph: Graph) -> StreamInfo:
    record = graph.stream
    assert record is not None
    taken = {state.input for state in record.states}
    states = [value for value in graph.inputs if value.name in taken]
    width = {value.name: value.type.dtype.itemsize if value.quant is None else _BYTES[value.quant.dtype] for value in states}
    return StreamInfo(
        record.hop,
        record.window,
        dict(record.inputs),
        record.kept,
        len(states),
        sum(value.type.numel() * width[value.name] for value in states),
        graph.macs,
        lowered.macs,
        tuple({**vars(output)} for output in record.outputs),
    )
