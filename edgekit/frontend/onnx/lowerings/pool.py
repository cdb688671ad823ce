"""Pools. The graph's pools have torch's symmetric padding; where ONNX's gives other windows, the input is padded first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.frontend.onnx.windows import Pads, each, pads_of
from edgekit.ir import Value, ops


@dataclass(frozen=True)
class _Windows:
    """Where the windows of a pool lie: settings, sizes of the input and numbers of windows per spatial dimension."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pads
    sizes: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def dimensions(self) -> int:
        """How many dimensions the windows slide over."""
        return len(self.kernel)

    def reach(self, axis: int) -> int:
        """Elements of the padded input from the first window's beginning to the last one's end."""
        return (self.counts[axis] - 1) * self.stride[axis] + self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def full_padding(self) -> Pads:
        """Padding with which exactly these windows fit: what ceil_mode adds is at the ends, and may be less than was given."""
        rows = zip(self.padding, self.sizes, strict=True)
        return tuple((low, self.reach(axis) - size - low) for axis, ((low, _), size) in enumerate(rows))


def _windows(
    ctx: Lowering,
    x: Value,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    pads: Sequence[int] | None,
    ceil_mode: int,
) -> _Windows:
    count = x.type.rank - 2
    ctx.need(count in (1, 2), f"slides over {count} dimensions", "only 1-D and 2-D pools are supported")
    kernel = each(ctx, kernel_shape, count, "kernel_shape")
    stride, dilation = each(ctx, strides, count, "strides"), each(ctx, dilations, count, "dilations")
    sizes = ctx.spatial(x, count)
    padding = pads_of(ctx, auto_pad, pads, sizes, kernel, stride, dilation)
    ctx.need(all(size >= 0 for pair in padding for size in pair), "has negative pads", "crop with a Slice, then pool")
    counts = []
    for size, k, s, d, (low, high) in zip(sizes, kernel, stride, dilation, padding, strict=True):
        room = size + low + high - (d * (k - 1) + 1)
        windows = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (windows - 1) * s >= size + low:  # a window that begins in the padding at the end is none
            windows -= 1
        ctx.need(room >= 0 and windows > 0, f"has a window larger than its padded input {x.type}")
        counts.append(windows)
    ctx.claim(8 * max(c * k for c, k in zip(counts, kernel, strict=True)))
    return _Windows(kernel, stride, dilation, padding, sizes, tuple(counts))


@lowers("MaxPool")
def max_pool(
    ctx: Lowering,
    x: Value,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> Result:
    """Padding never wins, so torch's windows need only be as many; indices have no form in the graph."""
    windows = _windows(ctx, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    if not x.type.is_float:  # integers of up to 8 bits are exact in float
        ctx.need(x.type.dtype in (torch.int8, torch.uint8), f"of {x.type}")
        return ctx.cast(_maximum(ctx, ctx.cast(x, torch.float32), windows), x.type.dtype), None
    return _maximum(ctx, x, windows), None


def _maximum(ctx: Lowering, x: Value, windows: _Windows) -> Value:
    cls = ops.MaxPool1d if windows.dimensions == 1 else ops.MaxPool2d
    low = tuple(low for low, _ in windows.padding)
    if all(2 * size <= k for size, k in zip(low, windows.kernel, strict=True)):
        for ceil in (False, True):
            if _torch_counts(windows, low, ceil) == windows.counts:
                return ctx.add(cls(windows.kernel, windows.stride, low, windows.dilation, ceil), x)
    pads = ((0, 0), (0, 0), *windows.full_padding())
    padded = ctx.add(ops.Pad(pads=pads, value=-math.inf), x)
    return ctx.add(cls(windows.kernel, windows.stride, (0,) * windows.dimensions, windows.dilation), padded)


def _torch_counts(windows: _Windows, low: tuple[int, ...], ceil: bool) -> tuple[int, ...]:
    """How many windows torch's pool has with the low padding at both ends."""
    counts = []
    for size, k, s, d, pad in zip(windows.sizes, windows.kernel, windows.stride, windows.dilation, low, strict=True):
        room = size + 2 * pad - (d * (k - 1) + 1)
        count = (-(-room // s) if ceil else room // s) + 1
        counts.append(count - 1 if ceil and (count - 1) * s >= size + pad else count)
    return tuple(counts)


@lowers("AveragePool")
def average_pool(
    ctx: Lowering,
    x: Value,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Result:
    """A mean over windows; see ``_average``."""
    windows = _windows(ctx, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    return _average(ctx, x, windows, bool(count_include_pad))


def _average(ctx: Lowering, x: Value, windows: _Windows, counts_padding: bool) -> Value:
    """torch's pool where it has these windows and counts; else sums over the padded input, divided by a table of counts."""
    low = tuple(low for low, _ in windows.padding)
    cls = ops.AvgPool1d if windows.dimensions == 1 else ops.AvgPool2d
    dilated = any(d != 1 for d in windows.dilation)
    symmetric = all(a == b and 2 * a <= k for (a, b), k in zip(windows.padding, windows.kernel, strict=True))
    plain = not any(low) and (not counts_padding or symmetric)
    if not dilated and (symmetric or plain):
        for ceil in (False, True):
            if _torch_counts(windows, low, ceil) == windows.counts:
                return ctx.add(cls(windows.kernel, windows.stride, low, ceil, counts_padding), x)
    padded = ctx.add(ops.Pad(pads=((0, 0), (0, 0), *windows.full_padding())), x)
    if dilated:
        mean = _dilated_mean(ctx, padded, windows)
    else:
        mean = ctx.add(cls(windows.kernel, windows.stride, (0,) * windows.dimensions), padded)
    ctx.claim(8 * math.prod(windows.counts))
    factors = _window_sizes(windows, counts_padding)
    if np.all(factors == 1):
        return mean
    return ctx.add(ops.Mul(), mean, ctx.matrix(factors, x.type.dtype, "share"))


def _dilated_mean(ctx: Lowering, x: Value, windows: _Windows) -> Value:
    """A depthwise convolution with equal weights."""
    channels = ctx.fixed(x, 1)
    ctx.claim(8 * channels * math.prod(windows.kernel))
    weight = torch.full((channels, 1, *windows.kernel), 1 / math.prod(windows.kernel), dtype=x.type.dtype)
    cls = ops.Conv1d if windows.dimensions == 1 else ops.Conv2d
    none = ((0, 0),) * windows.dimensions
    return ctx.add(
        cls(stride=windows.stride, padding=none, dilation=windows.dilation, groups=channels), x, ctx.constant(weight, "mean")
    )


def _window_sizes(windows: _Windows, counts_padding: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The kernel's size over the number of elements that count, for each window."""
    total = np.ones(())
    for axis in range(windows.dimensions):
        low, high = windows.padding[axis] if counts_padding else (0, 0)
        first = -windows.padding[axis][0] + np.arange(windows.counts[axis])[:, None] * windows.stride[axis]
        places = first + np.arange(windows.kernel[axis])[None] * windows.dilation[axis]
        counted = ((places >= -low) & (places < windows.sizes[axis] + high)).sum(1)
        total = total[..., None] * (windows.kernel[axis] / np.maximum(counted, 1))
    return np.asarray(total)


@lowers("GlobalAveragePool")
def global_average_pool(ctx: Lowering, x: Value) -> Result:
    """The mean over all positions."""
    return ctx.add(ops.Mean(axes=_positions(ctx, x), keepdim=True), x)


@lowers("GlobalMaxPool")
def global_max_pool(ctx: Lowering, x: Value) -> Result:
    """The maximum over all positions."""
    return ctx.add(ops.Amax(axes=_positions(ctx, x), keepdim=True), x)


@lowers("LpPool")
def lp_pool(
    ctx: Lowering,
    x: Value,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    p: int = 2,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Result:
    """(sum |x|^p)^(1/p) over windows: the mean of powers, times the window's size."""
    windows = _windows(ctx, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    mean = _average(ctx, _powers(ctx, x, p), windows, counts_padding=False)
    ctx.claim(8 * math.prod(windows.counts))
    counts = ctx.matrix(math.prod(windows.kernel) / _window_sizes(windows, False), x.type.dtype, "counts")
    return _root(ctx, ctx.add(ops.Mul(), mean, counts), p)


@lowers("GlobalLpPool")
def global_lp_pool(ctx: Lowering, x: Value, *, p: int = 2) -> Result:
    """(sum |x|^p)^(1/p) over all positions."""
    return _root(ctx, ctx.add(ops.Sum(axes=_positions(ctx, x), keepdim=True), _powers(ctx, x, p)), p)


def _powers(ctx: Lowering, x: Value, p: int) -> Value:
    ctx.need(p >= 1, f"of order {p}")
    if p == 2:
        return ctx.add(ops.Square(), x)
    size = ctx.add(ops.Abs(), x)
    return size if p == 1 else ctx.add(ops.Pow(), size, ctx.scalar(float(p), x.type.dtype))


def _root(ctx: Lowering, x: Value, p: int) -> Value:
    if p == 1:
        return x
    return ctx.add(ops.Sqrt(), x) if p == 2 else ctx.add(ops.Pow(), x, ctx.scalar(1 / p, x.type.dtype))


def _positions(ctx: Lowering, x: Value) -> tuple[int, ...]:
    ctx.need(x.type.rank > 2, f"of {x.type}, which has no positions")
    return tuple(range(2, x.type.rank))
