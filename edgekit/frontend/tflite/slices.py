"""Slices along every dimension at once, Python's rules resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held
from edgekit.frontend.tflite.joined import between
from edgekit.ir import ops
from edgekit.ir.types import Batch, Dim


@dataclass(frozen=True)
class Cut:
    """Elements ``start : stop : step`` of a dimension, ``step`` positive; then ``backwards``."""

    start: int
    stop: int
    step: int
    backwards: bool = False

    @property
    def count(self) -> int:
        """How many elements."""
        return len(range(self.start, self.stop, self.step))


def cut_out(ctx: Lowering, x: Held, cuts: Sequence[Cut | None]) -> Held:
    """The elements of each dimension that its cut names; None for all."""
    starts = x.to_value([0 if cut is None else cut.start for cut in cuts])
    stops = x.to_value([size if cut is None else cut.stop for cut, size in zip(cuts, x.shape, strict=True)])
    steps = x.to_value([1 if cut is None else cut.step for cut in cuts])
    value = x.value
    partly = [axis for axis in range(x.rank) if (starts[axis], stops[axis], steps[axis]) != (0, value.shape[axis], 1)]
    axis, stop = (partly[0], stops[partly[0]]) if partly else (0, 0)
    if ctx.building.calls and len(partly) == 1 and steps[axis] == 1 and isinstance(stop, int):
        value = between(ctx, value, axis, starts[axis], stop)
    elif partly:
        value = ctx.add(ops.Slice(starts, stops, steps), value)
    backwards = tuple(sorted(x.order[axis] for axis, cut in enumerate(cuts) if cut is not None and cut.backwards))
    return Held(ctx.add(ops.Flip(backwards), value) if backwards else value, x.order)


def cut_of(ctx: Lowering, begin: int | None, end: int | None, stride: int, size: int) -> Cut:
    """Python's ``begin:end:stride`` of a dimension.

    Raises:
        InputError: nothing is left.
    """
    if stride == 0:
        raise ctx.damaged("a slice of stride 0")
    taken = range(*slice(begin, end, stride).indices(size))
    if not taken:
        raise ctx.damaged(f"the slice {begin}:{end}:{stride} of {size} elements is empty")
    low, high = min(taken[0], taken[-1]), max(taken[0], taken[-1])
    return Cut(low, high + 1, abs(stride), stride < 0 and len(taken) > 1)


def strided_cuts(
    ctx: Lowering, x: Held, bounds: tuple[list[Dim], list[Dim], list[int]], masks: tuple[int, int, int, int, int]
) -> tuple[list[Cut | None], list[Dim]]:
    """The cuts of STRIDED_SLICE, and the shape of its result: axes inserted and dropped.

    Args:
        ctx: the operator.
        x: what is cut.
        bounds: begin, end and stride of each entry.
        masks: bits per entry: no begin, no end, ellipsis, new axis, dropped axis.
    """
    begins, ends, strides = bounds
    if not len(begins) == len(ends) == len(strides):
        raise ctx.damaged("a slice whose bounds differ in length")
    no_begin, no_end, ellipsis, new_axis, dropped = (
        [bool(mask >> place & 1) for place in range(len(begins))] for mask in masks
    )
    cuts: list[Cut | None] = []
    shape: list[Dim] = []
    given = sum(not new_axis[place] and not ellipsis[place] for place in range(len(begins)))
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if ellipsis[place]:
            for _ in range(x.rank - given):
                shape.append(x.shape[len(cuts)])
                cuts.append(None)
            continue
        if new_axis[place]:
            shape.append(1)
            continue
        if len(cuts) >= x.rank:
            raise ctx.damaged(f"a slice of more dimensions than {x.shape} has")
        size = x.shape[len(cuts)]
        if isinstance(size, Batch):
            whole = (no_begin[place] or begin == 0) and (no_end[place] or end in (size, ctx.in_file(size))) and stride == 1
            if not whole or dropped[place]:
                raise ctx.refused("a slice of samples", "slice within a sample")
            cuts.append(None)
            shape.append(size)
            continue
        if isinstance(begin, Batch) or isinstance(end, Batch):
            raise ctx.refused("a slice whose bounds depend on the batch", "slice between fixed bounds")
        if dropped[place]:
            begin = begin + size if begin < 0 else begin
            if not 0 <= begin < size:
                raise ctx.damaged(f"the element {begin} of {size}")
            cuts.append(Cut(begin, begin + 1, 1))
            continue
        cut = cut_of(ctx, None if no_begin[place] else begin, None if no_end[place] else end, stride, size)
        cuts.append(cut)
        shape.append(cut.count)
    shape += x.shape[len(cuts) :]
    cuts += [None] * (x.rank - len(cuts))
    return cuts, shape
