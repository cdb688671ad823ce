"""Any number of samples through a file of a fixed batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.formats.io_metadata import FileTensor

Array = NDArray[Any]

LOOK = "compare the inputs' shapes and types with those of the file: `edgekit inspect`"


class Batched(ABC):
    """A loaded file of fixed shapes.

    Attributes:
        inputs, outputs: its tensors, in the file's order.
        where: what to name in an error.
    """

    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]
    where: object | None

    @abstractmethod
    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        """One call with arrays of exactly the file's shapes and types, in the file's order; InputError otherwise."""

    def check(self, inputs: Sequence[Array]) -> None:
        """InputError where these are not exactly the file's inputs."""
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{len(inputs)} inputs were given, this file takes {len(self.inputs)}", where=self.where, hint=LOOK
            )
        for info, array in zip(self.inputs, inputs, strict=True):
            if array.shape != info.shape or array.dtype != info.dtype:
                raise InputError(
                    f"input {info.name!r} is {array.dtype}{list(array.shape)}, this file takes {info.dtype}{list(info.shape)}",
                    where=self.where,
                    hint=LOOK,
                )

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
                f"{len(inputs)} inputs were given, this file takes {len(self.inputs)}", where=self.where, hint=LOOK
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
                    hint=LOOK,
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


def _size(info: FileTensor, axis: int) -> int:
    """A dimension of a file's tensor; LiteRT's are all fixed."""
    size = info.shape[axis]
    assert size is not None
    return size


def _rows(rows: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Positions along an axis that holds ``width`` entries per sample."""
    return (rows[:, None] * width + np.arange(width)).reshape(-1)
