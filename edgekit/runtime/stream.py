"""Run a streaming artifact: frames in, outputs out, the states kept in between."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.formats.io_metadata import FileTensor, TensorIo
from edgekit.formats.stream_record import StreamRecord, decode
from edgekit.runtime.artifact import Artifact, Inputs, to_source
from edgekit.runtime.litert import Kernels

Array = NDArray[Any]


class Stream:
    """A streaming artifact and where its stream stands.

    Attributes:
        record: hop, time axes and outputs (``edgekit.formats.stream_record``).
        calls: how many there were since the start.
    """

    def __init__(self, path: str | Path | bytes, *, kernels: Kernels = "default", threads: int = 1) -> None:
        """Load an artifact that was built for streaming.

        Args:
            path: the file, or its bytes.
            kernels: as for `edgekit.runtime.artifact.Artifact`.
            threads: CPU threads.

        Raises:
            InputError: no such file, a damaged one, or one that was not built for streaming.
            UsageError: the runtime is not installed.
        """
        self._load = partial(Artifact, path, kernels=kernels, threads=threads)
        self._file = self._load()
        if self._file.stream is None:
            raise InputError(
                "this artifact takes windows, not a stream",
                where=self._file.where,
                hint="build it with [streaming], or run it as it is: edgekit.run",
            )
        self.record: StreamRecord = decode(self._file.stream, where=self._file.where)
        in_file = self.record.kept == "variables"
        names = {} if in_file else {state.input: state.output for state in self.record.states}
        tensors = self._file.record.inputs
        self._own = [place for place, tensor in enumerate(tensors) if tensor.file.name not in names]
        outputs = [tensor.file.name for tensor in self._file.record.outputs]
        self._next = {p: outputs.index(names[t.file.name]) for p, t in enumerate(tensors) if t.file.name in names}
        self._axes = dict(self.record.inputs)
        self._held: dict[int, Array] = {}
        self.calls = 0

    def reset(self) -> None:
        """Begins a new stream."""
        if self.calls and self.record.kept == "variables":
            self._file = self._load()  # runtimes set no variables back
        self._held, self.calls = {}, 0

    def push(self, frames: Inputs) -> list[Array]:
        """The outputs after ``record.hop`` further frames.

        Args:
            frames: stacked samples of every input (one array, a tuple or a dict), ``record.hop`` long along its time axis.

        Returns:
            The model's outputs, in the order of ``record.outputs``, in the source's layout.

        Raises:
            InputError: as `Artifact.run`.
        """
        tensors = self._file.record.inputs
        given = self._file.pick(frames, [tensors[place] for place in self._own])
        arrays = {place: self._file.to_file(tensors[place], array) for place, array in zip(self._own, given, strict=True)}
        batch = max((a.shape[t.file_batch] for p, a in arrays.items() if (t := tensors[p]).file_batch is not None), default=1)
        for place in self._next:
            held = self._held.get(place)
            arrays[place] = _start(tensors[place], batch) if held is None else held
        results = self._file.call([arrays[place] for place in range(len(tensors))])
        self._held = {place: results[output] for place, output in self._next.items()}
        self.calls += 1
        names = [tensor.file.name for tensor in self._file.record.outputs]
        places = [names.index(output.name) for output in self.record.outputs]
        return [to_source(self._file.record.outputs[place], results[place]) for place in places]

    def run(self, signal: Inputs) -> list[Array]:
        """The outputs of a whole signal, from where the stream stands.

        Args:
            signal: as for `push`, any number of calls long; what is left over at its end is not taken.

        Returns:
            For each output, its steps one after the other along its time axis; one that has none is stacked along a new
            axis 0, an entry for each call.

        Raises:
            InputError: the signal is shorter than one call, or as `push`.
        """
        given = self._file.pick(signal, [self._file.record.inputs[place] for place in self._own])
        names = [self._file.record.inputs[place].file.name for place in self._own]
        lengths = [array.shape[self._axes[name]] for name, array in zip(names, given, strict=True) if name in self._axes]
        calls = min(lengths) // self.record.hop
        if not calls:
            raise InputError(
                f"a signal of {min(lengths)} frames, a call takes {self.record.hop}",
                where=self._file.where,
                hint="push more frames at once",
            )
        rows = [self.push({n: self._part(n, a, call) for n, a in zip(names, given, strict=True)}) for call in range(calls)]
        return [
            np.stack(column) if output.axis is None else np.concatenate(column, output.axis)
            for output, column in zip(self.record.outputs, zip(*rows, strict=True), strict=True)
        ]

    def _part(self, name: str, array: Array, call: int) -> Array:
        """The frames of one call; an input without time as it is."""
        if name not in self._axes:
            return array
        rows = range(call * self.record.hop, (call + 1) * self.record.hop)
        return np.take(array, rows, self._axes[name])


def _start(tensor: TensorIo, batch: int) -> Array:
    """A state as a stream begins: zeros, which in integers are the zero point."""
    file: FileTensor = tensor.file
    shape = tuple(batch if size is None else size for size in file.shape)
    return np.full(shape, file.zero_point if file.scale is not None else 0, file.dtype)
