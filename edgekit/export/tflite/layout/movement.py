"""What it takes to bring a tensor from one form into another: at most a RESHAPE, a TRANSPOSE and a RESHAPE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod

from edgekit.export.tflite.layout.form import Digits, Form, refine, source

#: Cost of an operator, in element copies: what the interpreter spends on calling a kernel.
OPERATOR_COST = 500.0

#: Cost of an element that TRANSPOSE moves, and of one that RESHAPE copies in a block.
TRANSPOSE_COST = 2.0
RESHAPE_COST = 0.25


@dataclass(frozen=True)
class Reshape:
    """RESHAPE to a physical shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Transpose:
    """TRANSPOSE by ``dims``, which gives ``shape``."""

    dims: tuple[int, ...]
    shape: tuple[int, ...]


Step = Reshape | Transpose

#: Every runtime's TRANSPOSE takes this many dimensions; more are avoided, and beyond six no runtime takes them.
MOST_DIMENSIONS = 5
_TOO_MANY_DIMENSIONS = 6

#: Cost of a transpose that no kernel can do: any other way is better.
_IMPOSSIBLE = 1e12


@lru_cache(maxsize=16384)
def steps(before: Form, after: Form) -> tuple[Step, ...]:
    """The operators that turn a tensor in form ``before`` into form ``after`` (of the same value, or of its reshape)."""
    refined = refine(before.digits, after.digits)
    if refined is None:
        # The axes of the two shapes cut across each other; in the source's order a reshape never moves an element.
        middle = (*steps(before, source(before.shape)), *_reshape(before.shape, after.shape))
        return _merge_reshapes(before.physical, (*middle, *steps(source(after.shape), after)))
    if refined[0] == refined[1]:
        return _reshape(before.physical, after.physical)
    ways = [way(before, after, *refined) for way in (_from_axes, _to_axes, _by_blocks)]
    return min((way for way in ways if way is not None), key=lambda way: (_rank(way) > MOST_DIMENSIONS, len(way), _rank(way)))


@lru_cache(maxsize=16384)
def cost(before: Form, after: Form) -> float:
    """The cost of `steps`, in element copies."""
    count, way = prod(before.shape), steps(before, after)
    if _rank(way) > _TOO_MANY_DIMENSIONS:
        return _IMPOSSIBLE
    return sum(OPERATOR_COST + count * (TRANSPOSE_COST if isinstance(step, Transpose) else RESHAPE_COST) for step in way)


def _rank(way: tuple[Step, ...]) -> int:
    """Dimensions of the transposes among the steps."""
    return max((len(step.shape) for step in way if isinstance(step, Transpose)), default=0)


def _reshape(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[Step, ...]:
    return () if before == after else (Reshape(after),)


def _merge_reshapes(shape: tuple[int, ...], way: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without reshapes that another one follows, and without reshapes to the shape that is there."""
    out: list[Step] = []
    for step in way:
        if isinstance(step, Reshape) and out and isinstance(out[-1], Reshape):
            out.pop()
        before = out[-1].shape if out else shape
        if isinstance(step, Transpose) or step.shape != before:
            out.append(step)
    return tuple(out)


def _by_axis(physical: tuple[int, ...], digits: Digits) -> list[Digits]:
    """The digits of each physical axis, from the sequence of all."""
    out: list[Digits] = []
    rest = digits
    for size in physical:
        count, covered = 0, 1
        while covered < size:
            covered *= rest[count][1]
            count += 1
        out.append(rest[:count])
        rest = rest[count:]
    return out


def _order(groups: list[Digits], wanted: Digits) -> list[int] | None:
    """The order of non-empty ``groups`` that gives the sequence ``wanted``, None where there is none."""
    order: list[int] = []
    rest = wanted
    starts = {group[0]: place for place, group in enumerate(groups) if group}
    while rest:
        place = starts.get(rest[0])
        if place is None or rest[: len(groups[place])] != groups[place]:
            return None
        order.append(place)
        rest = rest[len(groups[place]) :]
    return order


def _from_axes(before: Form, after: Form, have: Digits, want: Digits) -> tuple[Step, ...] | None:
    """TRANSPOSE of the physical axes as they are, then RESHAPE if axes are merged or those of size 1 differ."""
    groups = _by_axis(before.physical, have)
    order = _order(groups, want)
    if order is None:
        return None
    ones = [place for place, group in enumerate(groups) if not group]
    dims: list[int] = []
    moved = iter(order)
    for group in _by_axis(after.physical, want):
        if group:
            taken: Digits = ()
            while taken != group:  # several axes may be merged by the reshape that follows
                place = next(moved, None)
                if place is None or len(taken) > len(group):
                    return None
                dims.append(place)
                taken += groups[place]
        elif ones:
            dims.append(ones.pop(0))
    dims += ones
    shape = tuple(before.physical[dim] for dim in dims)
    return (Transpose(tuple(dims), shape), *_reshape(shape, after.physical))


def _to_axes(before: Form, after: Form, have: Digits, want: Digits) -> tuple[Step, ...] | None:
    """RESHAPE, then a TRANSPOSE that gives the wanted axes."""
    groups = _by_axis(after.physical, want)
    order = _order(groups, have)
    if order is None:
        return None
    ones = [place for place, group in enumerate(groups) if not group]
    places = [*ones, *order]
    shape = tuple(after.physical[place] for place in places)
    dims = tuple(places.index(place) for place in range(len(groups)))
    return (*_reshape(before.physical, shape), Transpose(dims, after.physical))


def _by_blocks(before: Form, after: Form, have: Digits, want: Digits) -> tuple[Step, ...]:
    """RESHAPE to blocks of elements that stay together, TRANSPOSE of the blocks, RESHAPE."""
    following = dict(pairwise(want))
    blocks: list[list[tuple[int, int]]] = []
    for digit in have:
        if blocks and following.get(blocks[-1][-1]) == digit:
            blocks[-1].append(digit)
        else:
            blocks.append([digit])
    sizes = [prod(size for _, size in block) for block in blocks]
    heads = {block[0]: place for place, block in enumerate(blocks)}
    dims = tuple(heads[digit] for digit in want if digit in heads)
    shape = tuple(sizes[dim] for dim in dims)
    return (
        *_reshape(before.physical, tuple(sizes)),
        Transpose(dims, shape),
        *_reshape(shape, after.physical),
    )
