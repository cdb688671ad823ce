"""A thin door to LiteRT (ai-edge-litert): one file, numpy in, numpy out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, UsageError
from edgekit.formats.io_metadata import FileTensor
from edgekit.runtime.native_output import captured_stderr

Array = NDArray[Any]

#: Which kernels run the file. ``default`` is what an app gets (XNNPACK where it applies), ``reference`` the plain loops
#: that TFLite Micro and `edgekit.ir.simulate` agree with, ``builtin`` LiteRT's own optimised kernels without a delegate.
Kernels = Literal["default", "reference", "builtin"]

_LOOK = "compare the inputs' shapes and types with those of the file: `edgekit inspect`"

_RESOLVERS: dict[Kernels, str] = {
    "default": "AUTO",
    "reference": "BUILTIN_REF",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
}


class LiteRT:
    """A .tflite file, loaded and ready to run."""

    def __init__(
        self, model: str | Path | bytes, kernels: Kernels = "default", threads: int = 1, *, where: object | None = None
    ) -> None:
        """Load a file.

        Args:
            model: a path, or the bytes of a file.
            kernels: which implementation runs it.
            threads: CPU threads.
            where: what to name in an error; the path where one is given.

        Raises:
            UsageError: ai-edge-litert is not installed, or ``kernels`` is unknown.
            InputError: LiteRT refuses the file.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise UsageError("LiteRT is not installed", where=sys.executable, hint="pip install 'edgekit[build]'") from error
        if kernels not in _RESOLVERS:
            raise UsageError(f"unknown kernels {kernels!r}", where="kernels", hint="one of " + ", ".join(_RESOLVERS))
        content = model if isinstance(model, bytes) else Path(model).read_bytes()
        self.where = where if isinstance(model, bytes) else str(model)
        try:
            with captured_stderr() as log:
                self._interpreter = Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_op_resolver_type=OpResolverType[_RESOLVERS[kernels]],
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"LiteRT cannot load this file: {error} {log.text}".rstrip(),
                where=self.where,
                hint="a file of another maker may need a newer runtime, a delegate or custom ops",
            ) from error
        names = self._signature_names()
        self.inputs = self._describe(self._interpreter.get_input_details(), names)
        self.outputs = self._describe(self._interpreter.get_output_details(), names)
        self._input_ids = [detail["index"] for detail in self._interpreter.get_input_details()]
        self._output_ids = [detail["index"] for detail in self._interpreter.get_output_details()]

    def _signature_names(self) -> dict[int, str]:
        """Tensor index -> argument or result name of the first signature."""
        signatures = self._interpreter._get_full_signature_list()
        empty: dict[str, dict[str, int]] = {"inputs": {}, "outputs": {}}
        first = next(iter(signatures.values()), empty)
        return {index: name for side in ("inputs", "outputs") for name, index in first[side].items()}

    @staticmethod
    def _describe(details: list[dict[str, Any]], names: dict[int, str]) -> tuple[FileTensor, ...]:
        out = []
        for detail in details:
            scale, zero_point = detail["quantization"]
            out.append(
                FileTensor(
                    name=names.get(detail["index"], detail["name"]),
                    shape=tuple(int(size) for size in detail["shape"]),
                    dtype=np.dtype(detail["dtype"]).name,
                    scale=float(scale) or None,
                    zero_point=int(zero_point),
                )
            )
        return tuple(out)

    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        """One call with arrays of exactly the file's shapes and types, in the file's order.

        Raises:
            InputError: the number of inputs, a shape or a type differs, or the runtime fails.
        """
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{len(inputs)} inputs were given, this file takes {len(self.inputs)}", where=self.where, hint=_LOOK
            )
        for info, index, array in zip(self.inputs, self._input_ids, inputs, strict=True):
            if array.shape != info.shape or array.dtype != info.dtype:
                raise InputError(
                    f"input {info.name!r} is {array.dtype}{list(array.shape)}, this file takes {info.dtype}{list(info.shape)}",
                    where=self.where,
                    hint=_LOOK,
                )
            self._interpreter.set_tensor(index, np.ascontiguousarray(array))
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"LiteRT failed while running: {error}", where=self.where, hint=_LOOK) from error
        return [self._interpreter.get_tensor(index) for index in self._output_ids]

    def run(self, inputs: Sequence[Array], batch_axes: Sequence[int | None] | None = None) -> list[Array]:
        """Any number of samples through a file of a fixed batch, as many at a time as the file takes.

        The last group is filled up with copies of the last sample and cut again. A file that keeps state between calls
        keeps it between groups.

        Args:
            inputs: arrays in the file's types, stacked along the batch axes.
            batch_axes: for each input and then each output the axis along which samples are stacked, None for a
                tensor that belongs to no sample. Axis 0 of everything where it is not given.

        Returns:
            The outputs, stacked likewise; of an output without a batch axis, the one of the last call.

        Raises:
            InputError: as `invoke`, or inputs with different numbers of samples.
        """
        count = len(self.inputs)
        tensors = (*self.inputs, *self.outputs)
        axes = list(batch_axes) if batch_axes is not None else [0 if info.shape else None for info in tensors]
        samples, batch = self._samples(inputs, axes)
        if samples is None:
            return self.invoke(inputs)
        groups: list[list[Array]] = []
        for start in range(0, samples, batch):
            rows = np.minimum(np.arange(start, start + batch), samples - 1)
            group = [
                array if axis is None else np.take(array, _rows(rows, _size(info, axis) // batch), axis)
                for array, axis, info in zip(inputs, axes[:count], self.inputs, strict=True)
            ]
            groups.append(self.invoke(group))
        stacked = []
        for place, (info, axis) in enumerate(zip(self.outputs, axes[count:], strict=True)):
            if axis is None:
                stacked.append(groups[-1][place])
                continue
            joined = np.concatenate([group[place] for group in groups], axis)
            stacked.append(np.take(joined, range(samples * (_size(info, axis) // batch)), axis))
        return stacked

    def _samples(self, inputs: Sequence[Array], axes: Sequence[int | None]) -> tuple[int | None, int]:
        """How many samples the inputs hold, and how many the file takes at a time."""
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{len(inputs)} inputs were given, this file takes {len(self.inputs)}", where=self.where, hint=_LOOK
            )
        sizes = [_size(info, axis) for info, axis in zip((*self.inputs, *self.outputs), axes, strict=True) if axis is not None]
        batch = gcd(*sizes) or 1  # an axis can hold several entries of each sample
        samples: int | None = None
        for info, axis, array in zip(self.inputs, axes[: len(self.inputs)], inputs, strict=True):
            if axis is None:
                continue
            if array.ndim != len(info.shape):
                raise InputError(
                    f"input {info.name!r} has {array.ndim} dimensions, this file takes {list(info.shape)}",
                    where=self.where,
                    hint=_LOOK,
                )
            own = array.shape[axis] // (_size(info, axis) // batch)
            if samples is not None and own != samples:
                raise InputError(
                    f"input {info.name!r} holds {own} samples, another one {samples}",
                    where=self.where,
                    hint="as many samples of every input",
                )
            samples = own
        if samples == 0:
            raise InputError("the inputs hold no sample", where=self.where, hint="stacked samples: axis 0 is the sample")
        return samples, batch

    def op_counts(self) -> dict[str, int]:
        """Operator name -> how often the runtime executes it; ``DELEGATE`` stands for all that XNNPACK took over."""
        counts: dict[str, int] = {}
        for details in self._interpreter._get_ops_details():
            counts[details["op_name"]] = counts.get(details["op_name"], 0) + 1
        return counts


def _size(info: FileTensor, axis: int) -> int:
    """A dimension of a file's tensor; LiteRT's are all fixed."""
    size = info.shape[axis]
    assert size is not None
    return size


def _rows(rows: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Positions along an axis that holds ``width`` entries per sample."""
    return (rows[:, None] * width + np.arange(width)).reshape(-1)
