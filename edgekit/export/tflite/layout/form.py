"""Forms: how the elements of a value are arranged in the file.

The graph speaks of shapes in the source's order (N, C, H, W). TFLite's convolutions read (N, H, W, C), a one-dimensional
convolution reads (N, 1, L, C), and a value that was flattened only to be multiplied by a matrix need not be flattened at
all. A form says, for each physical axis, which part of which logical axis runs along it. Two forms with the same
sequence of elements differ by a RESHAPE at most; everything else is a TRANSPOSE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod


@dataclass(frozen=True)
class Part:
    """A part of a logical axis: of an index i along ``axis`` the digit ``i // stride % size``."""

    axis: int
    stride: int
    size: int


@dataclass(frozen=True)
class Form:
    """An arrangement of the elements of a value of a logical ``shape``.

    Attributes:
        shape: the logical shape, in the source's order.
        axes: for each physical axis the parts that run along it, the slowest first; an axis without parts has size 1.
    """

    shape: tuple[int, ...]
    axes: tuple[tuple[Part, ...], ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.shape, self.axes))

    def __hash__(self) -> int:
        return self._hash  # forms are keys of many tables

    @cached_property
    def physical(self) -> tuple[int, ...]:
        """The shape of the tensor in the file."""
        return tuple(prod(part.size for part in axis) for axis in self.axes)

    @cached_property
    def digits(self) -> tuple[tuple[int, int], ...]:
        """(stride in the flat logical index, size) of every part in physical order, without those of size 1."""
        strides = _strides(self.shape)
        return tuple((part.stride * strides[part.axis], part.size) for axis in self.axes for part in axis if part.size != 1)

    def position(self, axis: int) -> int | None:
        """The physical axis that is this whole logical axis and nothing else, None where there is none."""
        whole = (Part(axis, 1, self.shape[axis]),)
        return self.axes.index(whole) if whole in self.axes else None

    def positions(self, axes: Sequence[int]) -> tuple[int, ...] | None:
        """`position` of several axes, None where one has none."""
        found = [self.position(axis) for axis in axes]
        return None if None in found else tuple(place for place in found if place is not None)

    @property
    def is_source(self) -> bool:
        """Whether the value stands in the file as in the source."""
        return self == source(self.shape)

    def resized(self, shape: Sequence[int]) -> Form | None:
        """The same arrangement of another shape of this rank; None where an axis that changes size is divided into parts."""
        axes = []
        for parts in self.axes:
            if all(shape[part.axis] == self.shape[part.axis] for part in parts):
                axes.append(parts)
            elif len(parts) == 1 and parts[0].stride == 1 and parts[0].size == self.shape[parts[0].axis]:
                axes.append((Part(parts[0].axis, 1, shape[parts[0].axis]),))
            else:
                return None
        form = Form(tuple(shape), tuple(axes))
        # An axis of size 1 may be missing from a form; it cannot be, once it has another size.
        return form if prod(form.physical) == prod(shape) else None


def _strides(shape: Sequence[int]) -> list[int]:
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def arranged(shape: Sequence[int], order: Sequence[int | None]) -> Form:
    """The logical axes in another order; None inserts an axis of size 1."""
    axes = tuple(() if axis is None else (Part(axis, 1, shape[axis]),) for axis in order)
    return Form(tuple(shape), axes)


def source(shape: Sequence[int]) -> Form:
    """As in the source."""
    return arranged(shape, range(len(shape)))


def channels_last(shape: Sequence[int]) -> Form:
    """Axis 1 moved to the end; the source's order for fewer than three dimensions."""
    rank = len(shape)
    return arranged(shape, (0, *range(2, rank), 1)) if rank >= 3 else source(shape)


def wide(shape: Sequence[int]) -> Form:
    """A signal (N, C, L) as an image of height 1: (N, 1, L, C)."""
    return arranged(shape, (0, None, 2, 1))


def swapped(shape: Sequence[int]) -> Form:
    """The last two axes exchanged."""
    rank = len(shape)
    return arranged(shape, (*range(rank - 2), rank - 1, rank - 2))


def squeezed(shape: Sequence[int]) -> Form:
    """The source's order without the axes of size 1."""
    return arranged(shape, [axis for axis, size in enumerate(shape) if size != 1])


def permuted(form: Form, dims: Sequence[int]) -> Form:
    """The form that a permuted value has if its elements stay where they are: axis i is axis ``dims[i]`` of the original."""
    new_place = {old: new for new, old in enumerate(dims)}
    axes = tuple(tuple(Part(new_place[p.axis], p.stride, p.size) for p in axis) for axis in form.axes)
    return Form(tuple(form.shape[dim] for dim in dims), axes)


def reshaped(form: Form, shape: Sequence[int]) -> Form | None:
    """The form that a reshaped value has if its elements stay where they are; None where the new axes cut across the parts."""
    strides = _strides(shape)
    own = _strides(form.shape)
    axes = []
    for axis in form.axes:
        parts: list[Part] = []
        for part in axis:
            divided = _divide(part.stride * own[part.axis], part.size, shape, strides)
            if divided is None:
                return None
            parts.extend(divided)
        axes.append(tuple(parts))
    # Axes of size 1 stay findable where they stood: as the physical axis of size 1 in the same place, in order.
    ones = [index for index, size in enumerate(shape) if size == 1]
    empty = [place for place, found in enumerate(axes) if not found]
    for place, index in zip(empty, ones, strict=False):
        axes[place] = (Part(index, 1, 1),)
    return Form(tuple(shape), tuple(axes))


def _divide(stride: int, size: int, shape: Sequence[int], strides: Sequence[int]) -> list[Part] | None:
    """A digit of the flat index as parts of the axes of a shape, the slowest first."""
    parts: list[Part] = []
    for axis, (length, step) in enumerate(zip(shape, strides, strict=True)):
        low, high = max(stride, step), min(stride * size, step * length)
        if length == 1 or size == 1 or low >= high:
            continue
        if low % stride or low % step or high % low or (stride * size) % high or (step * length) % high:
            return None
        parts.append(Part(axis, low // step, high // low))
    return parts if prod(part.size for part in parts) == size else None


def same_elements(first: Form, second: Form) -> bool:
    """Whether both forms (of one value, or of a value and its reshape) hold the same elements in the same order."""
    refined = refine(first.digits, second.digits)
    return refined is not None and refined[0] == refined[1]


Digits = tuple[tuple[int, int], ...]


def refine(first: Digits, second: Digits) -> tuple[Digits, Digits] | None:
    """Both sequences with their digits divided at each other's borders; None where the borders do not fit into each other."""
    borders = sorted({b for stride, size in (*first, *second) for b in (stride, stride * size)})
    divided: list[Digits] = []
    for digits in (first, second):
        out: list[tuple[int, int]] = []
        for stride, size in digits:
            cuts = [b for b in borders if stride <= b <= stride * size]
            pairs = list(pairwise(cuts))
            if any(high % low for low, high in pairs):
                return None
            out.extend((low, high // low) for low, high in reversed(pairs))
        divided.append(tuple(out))
    return divided[0], divided[1]
