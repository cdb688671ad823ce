"""Ops that move elements."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.ir import Node, TensorType, ops
from edgekit.ir.types import PROBES
from edgekit.streaming.frames import Frames
from edgekit.streaming.rules.table import only, refuse, stepwise, streams, whole
from edgekit.streaming.timed import Timed


def sliced(x: Timed, start: int, stop: int) -> Timed:
    """Offline steps ``start`` to ``stop`` of a stream: nothing to compute, the others are not looked at."""
    length = stop - start
    return x.moved(
        offset=x.offset + start, length=length, sure=max(0, min(x.sure - start, length)), warm=max(0, x.warm - start)
    )


def last_of(frames: Frames, x: Timed, index: int) -> Timed:
    """One offline step of a stream as a snapshot, with its axis kept."""
    return frames.window(sliced(x, index, index + 1))


@streams(ops.Permute)
def permute(frames: Frames, node: Node, op: ops.Permute, xs: Sequence[Timed | None]) -> list[Timed]:
    """The time axis moves along."""
    x = frames.begun(only(xs))
    assert x.axis is not None
    return stepwise(frames, x, op, axis=op.dims.index(x.axis))


@streams(ops.Reshape)
def reshape(frames: Frames, node: Node, op: ops.Reshape, xs: Sequence[Timed | None]) -> list[Timed]:
    """Dimensions around time are folded and unfolded; a window that is flattened whole is kept whole."""
    x = only(xs)
    assert x.axis is not None
    place = None if x.length == 1 else time_after(node.input(0).type, x.axis, op.shape)
    if place is None:
        return whole(frames, node, op, xs)
    shape = list(op.shape)
    shape[place] = frames.steps(x)
    return stepwise(frames, x, ops.Reshape(tuple(shape)), axis=place)


def time_after(before: TensorType, axis: int, shape: tuple[object, ...]) -> int | None:
    """Where a reshape puts an axis that it leaves whole; None where it does not."""
    after = TensorType(before.dtype, shape)  # type: ignore[arg-type]
    for place, size in enumerate(shape):
        fronts = [(_product(before.at(n)[:axis]), _product(after.at(n)[:place])) for n in PROBES]
        if size == before.shape[axis] and all(a == b for a, b in fronts):
            return place
    return None


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


@streams(ops.Slice)
def slice_(frames: Frames, node: Node, op: ops.Slice, xs: Sequence[Timed | None]) -> list[Timed]:
    """Steps of time are left out without computing anything, other axes are cut in every step."""
    x = only(xs)
    assert x.axis is not None
    start, stop, step = op.starts[x.axis], op.stops[x.axis], op.steps[x.axis]
    assert isinstance(stop, int)
    if step != 1:
        raise refuse("takes every so many time steps", "a convolution or pool with a stride does so in a stream")
    part = sliced(x, start, stop)
    starts, stops = list(op.starts), list(op.stops)
    starts[x.axis], stops[x.axis] = 0, frames.steps(x)
    rest = ops.Slice(tuple(starts), tuple(stops), op.steps)
    if not any(starts) and rest.stops == x.value.shape and set(op.steps) == {1}:
        return [part]
    return stepwise(frames, part, rest)


@streams(ops.Pad)
def pad(frames: Frames, node: Node, op: ops.Pad, xs: Sequence[Timed | None]) -> list[Timed]:
    """Zeros in front of time are what a stream is before its start; those behind it never come."""
    x = only(xs)
    assert x.axis is not None
    low, high = op.pads[x.axis]
    if (low, high) != (0, 0):
        if op.mode != "constant" or op.value != 0.0:
            how = f"with {op.value:g}" if op.mode == "constant" else f"by {op.mode}"
            raise refuse(f"pads time {how}", "pad time with zeros on the left: F.pad(x, (kernel - 1, 0))")
        x = padded(x, low, high)
    pads = tuple((0, 0) if axis == x.axis else pair for axis, pair in enumerate(op.pads))
    if not any(any(pair) for pair in pads):
        return [x]
    return stepwise(frames, x, op.with_(pads=pads)) if x.offset >= 0 else [_elsewhere(frames, x, op.with_(pads=pads))]


def _elsewhere(frames: Frames, x: Timed, op: ops.Op) -> Timed:
    """Zeros along other axes too: what was zero before the start still is."""
    return x.moved(value=frames.clone(op, [x.value]).output)


def padded(x: Timed, low: int, high: int) -> Timed:
    """A stream with zeros around its offline steps; negative ones cut steps off."""
    if low < 0 or high < 0:
        return padded(sliced(x, max(0, -low), x.length - max(0, -high)), max(0, low), max(0, high))
    warm = x.warm + low if x.warm or (low and x.offset > 0) else 0
    return x.moved(offset=x.offset - low, length=x.length + low + high, warm=warm, sure=x.sure + low)


@streams(ops.Expand)
def expand(frames: Frames, node: Node, op: ops.Expand, xs: Sequence[Timed | None]) -> list[Timed]:
    """Other axes are repeated in every step."""
    x = only(xs)
    assert x.axis is not None
    place = x.axis + len(op.shape) - x.value.type.rank
    if op.shape[place] != x.length:
        return whole(frames, node, op, xs)
    shape = list(op.shape)
    shape[place] = frames.steps(x)
    return stepwise(frames, x, ops.Expand(tuple(shape)), axis=place)


@streams(ops.Tile)
def tile(frames: Frames, node: Node, op: ops.Tile, xs: Sequence[Timed | None]) -> list[Timed]:
    """Other axes are repeated in every step."""
    x = only(xs)
    assert x.axis is not None
    place = x.axis + len(op.repeats) - x.value.type.rank
    if op.repeats[place] != 1:
        raise refuse("repeats time steps")
    return stepwise(frames, x, op, axis=place)


@streams(ops.Flip, ops.Roll)
def turned(frames: Frames, node: Node, op: ops.Flip, xs: Sequence[Timed | None]) -> list[Timed]:
    """Other axes than time."""
    if only(xs).axis in op.axes:
        raise refuse(f"'{op.name}' turns time around")
    return stepwise(frames, only(xs), op)


@streams(ops.Resize)
def resize(frames: Frames, node: Node, op: ops.Resize, xs: Sequence[Timed | None]) -> list[Timed]:
    """Other axes than time."""
    x = only(xs)
    assert x.axis is not None
    if x.axis < 2 or op.size[x.axis - 2] != x.length or op.scales is not None:
        raise refuse("resizes time")
    size = list(op.size)
    size[x.axis - 2] = frames.steps(x)
    return stepwise(frames, x, op.with_(size=tuple(size)))
