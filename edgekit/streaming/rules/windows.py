"""Convolutions and pools: the last steps of the calls before are kept for the first windows of this one.

A window of span S (``dilation * (kernel - 1)``) that moves by s steps gives its first result of a call when the newest step it
reads is step c of that call, where c is ``(S + offset) mod s``: so the S - c steps before the call are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.ir import Node, Value, ops
from edgekit.streaming.frames import Frames, NeedsHop
from edgekit.streaming.rules.movement import padded
from edgekit.streaming.rules.table import only, refuse, stepwise, streams, whole
from edgekit.streaming.timed import Timed


def slide(
    frames: Frames,
    x: Timed,
    span: int,
    stride: int,
    length: int,
    write: Callable[[Value, int], Value],
    *,
    exactly: bool = False,
) -> Timed:
    """A stream of the results of windows over a stream.

    Args:
        frames: what is written.
        x: the stream, padding being part of its offset.
        span: steps from the first to the last that a window reads.
        stride: steps from one window to the next.
        length: windows of the offline value.
        write: writes the op on the steps that the windows of a call cover, given how far they move.
        exactly: leave out the steps behind the last window, which an op that rounds up would make another one of.

    Raises:
        NeedsHop: a call gives no whole number of windows.
    """
    if length == 1:
        stride = 1  # nothing says how far the only window would move
    if span + x.offset < 0:
        x = frames.delayed(x, -(span + x.offset))
    steps = frames.steps(x)
    if steps % stride:
        raise NeedsHop(x.stride * stride)
    first = (span + x.offset) % stride
    joined = frames.kept(x, max(0, span - first))
    assert x.axis is not None
    start = max(0, first - span)
    covered = start + (steps // stride - 1) * stride + span + 1
    stop = covered if exactly else int(joined.shape[x.axis])
    value = write(frames.cut(joined, x.axis, start, stop), stride)
    sure = max(0, (x.sure - span - 1) // stride + 1)
    return Timed(
        value,
        x.axis,
        x.stride * stride,
        (span + x.offset) // stride,
        length,
        -(-x.warm // stride),
        min(length, sure),
    )


def replaced(values: tuple[int, ...], place: int, value: int) -> tuple[int, ...]:
    """A tuple with one entry changed."""
    return (*values[:place], value, *values[place + 1 :])


@streams(ops.Conv1d, ops.Conv2d)
def convolution(frames: Frames, node: Node, op: ops.Conv2d, xs: Sequence[Timed | None]) -> list[Timed]:
    """Left padding is what the stream is before its start; channels that are time steps are read whole."""
    x = only(xs)
    assert x.axis is not None
    place = x.axis - 2
    if place < 0:
        return whole(frames, node, op, xs)
    low, high = op.padding[place]
    padding = (*op.padding[:place], (0, 0), *op.padding[place + 1 :])
    rest = [None if r is None else r.value for r in xs[1:]]
    span = op.dilation[place] * (int(node.input(1).shape[2 + place]) - 1)

    def write(value: Value, stride: int) -> Value:
        return frames.clone(op.with_(padding=padding, stride=replaced(op.stride, place, stride)), [value, *rest]).output

    length = int(node.output.shape[x.axis])
    return [slide(frames, padded(x, low, high), span, op.stride[place], length, write)]


@streams(ops.ConvTranspose1d, ops.ConvTranspose2d)
def transposed(frames: Frames, node: Node, op: ops.ConvTranspose2d, xs: Sequence[Timed | None]) -> list[Timed]:
    """Along other axes than time."""
    x = only(xs)
    assert x.axis is not None
    place = x.axis - 2
    if (
        place < 0
        or node.input(1).shape[2 + place] != 1
        or op.stride[place] != 1
        or op.padding[place]
        or op.output_padding[place]
    ):
        raise refuse("a transposed convolution over time writes to steps that have been given", "upsample features alone")
    return stepwise(frames, x, op, xs[1:])


@streams(ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d)
def pool(frames: Frames, node: Node, op: ops.MaxPool2d, xs: Sequence[Timed | None]) -> list[Timed]:
    """Windows without padding of their own in time."""
    x = only(xs)
    assert x.axis is not None
    place = x.axis - 2
    if place < 0:
        raise refuse(f"'{op.name}' over channels that are time steps", "put channels on axis 1")
    if op.padding[place]:
        raise refuse(
            f"'{op.name}' pads time on both sides", "pad on the left before the pool: F.pad(x, (kernel - 1, 0)), padding=0"
        )
    dilation = getattr(op, "dilation", (1,) * len(op.kernel))[place]

    def write(value: Value, stride: int) -> Value:
        return frames.clone(op.with_(stride=replaced(op.stride, place, stride)), [value]).output

    length = int(node.output.shape[x.axis])
    span = dilation * (op.kernel[place] - 1)
    return [slide(frames, x, span, op.stride[place], length, write, exactly=op.ceil_mode)]
