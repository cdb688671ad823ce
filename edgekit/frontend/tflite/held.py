"""What stands for a tensor of the file while it is translated.

TFLite computes channels-last, the graph channels-first. No transpose is written between the two: a tensor is held as a value
of the graph together with the order of its axes there, and only who needs another order pays for it. A network of
convolutions pays once, at its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.ir import Value
from edgekit.ir.types import Dim

_T = TypeVar("_T")


@dataclass(frozen=True)
class Held:
    """A tensor as a value: dimension i of the tensor is dimension ``order[i]`` of the value."""

    value: Value
    order: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.order)

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The shape as the file has it."""
        return tuple(self.value.shape[axis] for axis in self.order)

    @property
    def is_plain(self) -> bool:
        """The value's dimensions stand as in the file."""
        return self.order == tuple(range(len(self.order)))

    def axis(self, axis: int) -> int:
        """The value's axis of one of the tensor (negative: from the end).

        Raises:
            ValueError: there is no such axis.
        """
        if not -self.rank <= axis < self.rank:
            raise ValueError(f"axis {axis} of a tensor with {self.rank} dimensions")
        return self.order[axis % self.rank]

    def to_value(self, by_axis: Sequence[_T]) -> tuple[_T, ...]:
        """Settings per dimension of the tensor, in the value's order."""
        out = list(by_axis)
        for axis, setting in zip(self.order, by_axis, strict=True):
            out[axis] = setting
        return tuple(out)


@dataclass(frozen=True, eq=False)
class Sizes:
    """Integers that are known while the file is read: sizes, numbers and multiples of the batch. Elements are ``Dim``."""

    array: NDArray[np.object_]


def plain(value: Value) -> Held:
    """A value whose dimensions stand as in the file."""
    return Held(value, tuple(range(value.type.rank)))


def channels_first(rank: int) -> tuple[int, ...]:
    """The order of a channels-last tensor whose value has the channels in axis 1."""
    return (0, *range(2, rank), 1) if rank > 2 else tuple(range(rank))
