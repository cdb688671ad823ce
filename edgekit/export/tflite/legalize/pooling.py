"""Pools whose windows TFLite's kernels cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from edgekit.export.tflite.emitters.padding import Window
from edgekit.export.tflite.emitters.pooling import average_plan
from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.export.tflite.legalize.spatial_products import along_spatial_axes
from edgekit.ir import Node, Value, ops
from edgekit.ir.integer.averaging import adaptive_bounds, averaging, averaging_params
from edgekit.ir.types import Dim


@dataclass(frozen=True)
class LowerAveragePool(Lowering):
    """An average pool that counts the elements of a window in a way of its own.

    Result::  the mean over windows of the input padded with zeros, times what the count differs at each position
    """

    kind = (ops.AvgPool1d, ops.AvgPool2d)

    def lower(self, build: Build, node: Node, op: ops.AvgPool1d | ops.AvgPool2d) -> Value:
        """The correction is a constant: the op applied to ones, by the plain pool applied to ones."""
        x, y = node.input(0), node.output
        sizes = [size for size in x.type.shape[2:] if isinstance(size, int)]
        outs = [size for size in y.type.shape[2:] if isinstance(size, int)]
        rows = zip(sizes, outs, op.kernel, op.stride, op.padding, strict=True)
        windows = [Window(size, out, k, s, p) for size, out, k, s, p in rows]
        divisor = getattr(op, "divisor", None)
        if divisor is None and average_plan(windows, op.count_include_pad) is not None:
            raise Skip("TFLite's AVERAGE_POOL_2D")
        if y.quant is not None:
            return _in_integers(build, x, op, windows)
        pads = tuple(window.explicit for window in windows)
        plain = type(op)(op.kernel, op.stride, (0,) * len(op.kernel))
        padding = ops.Pad(((0, 0), (0, 0), *pads))
        ones = torch.ones(1, 1, *sizes)
        correction = op.run(ones) / plain.run(padding.run(ones))
        padded = build(padding, x) if any(any(pair) for pair in pads) else x
        return build(ops.Mul(), build(plain, padded), build.tensor(correction))


def _in_integers(build: Build, x: Value, op: ops.AvgPool1d | ops.AvgPool2d, windows: list[Window]) -> Value:
    """In integers a correction would round twice. With stride 1 the kernel counts as torch does: every window is centred on
    an element, and what it covers beyond the input does not count. Of its results those are taken that the pool wants.

    Raises:
        Skip: the windows are not centred on elements of the input.
    """
    lows = [window.low for window in windows]
    sizes = [window.size for window in windows]
    if op.count_include_pad and any(lows):  # zeros that count are elements; what ceil_mode adds behind them is none
        x = build(ops.Pad(((0, 0), (0, 0), *((low, low) for low in lows))), x, quant=x.quant)
        sizes, lows = [size + 2 * low for size, low in zip(sizes, lows, strict=True)], [0] * len(lows)
    middles = [(window.reach - 1) // 2 for window in windows]
    starts = [middle - low for middle, low in zip(middles, lows, strict=True)]
    lasts = [start + (window.out - 1) * window.stride for start, window in zip(starts, windows, strict=True)]
    if getattr(op, "divisor", None) is not None or any(window.reach % 2 == 0 for window in windows):
        raise Skip("no integer form")
    if any(start < 0 for start in starts) or any(last >= size for last, size in zip(lasts, sizes, strict=True)):
        raise Skip("no integer form")
    y = build(type(op)(op.kernel, (1,) * len(sizes), tuple(middles), count_include_pad=False), x, quant=x.quant)
    for axis, (start, last, window) in enumerate(zip(starts, lasts, windows, strict=True)):
        if (start, last, window.stride) != (0, sizes[axis] - 1, 1):
            y = slice_of(build, y, axis + 2, (start, last + 1), window.stride)
    return y


@dataclass(frozen=True)
class LowerAdaptiveAveragePool(Lowering):
    """Means over windows of different widths are products with constant matrices, one for each axis whose size changes."""

    kind = ops.AdaptiveAvgPool2d

    def lower(self, build: Build, node: Node, op: ops.AdaptiveAvgPool2d) -> Value:
        """In float, or in integers with the input's parameters between the two products."""
        x = node.input(0)
        rows = zip(x.type.shape[2:], op.size, strict=True)
        matrices = [None if size == out or not isinstance(size, int) else _averaging(build, size, out) for size, out in rows]
        return along_spatial_axes(build, x, matrices, node.output.quant)


def _averaging(build: Build, size: int, out: int) -> Value:
    """The matrix that averages each window, in integers where it is multiplied with some."""
    matrix, quant = build.tensor(averaging(size, out)), build.node.input(0).quant
    matrix.quant = None if quant is None else averaging_params(size, out, quant.dtype)
    return matrix


@dataclass(frozen=True)
class LowerAdaptiveMaxPool(Lowering):
    """Maxima over windows of different widths, one slice a window, along W and then along H."""

    kind = ops.AdaptiveMaxPool2d

    def lower(self, build: Build, node: Node, op: ops.AdaptiveMaxPool2d) -> Value:
        """In float or in integers: a maximum keeps the scale."""
        y, quant = node.input(0), node.output.quant
        for axis in (3, 2):
            size = y.type.shape[axis]
            assert isinstance(size, int)
            parts = [
                build(ops.Amax((axis,), keepdim=True), slice_of(build, y, axis, bounds), quant=quant)
                for bounds in adaptive_bounds(size, op.size[axis - 2])
            ]
            y = build(ops.Concat(axis), *parts, quant=quant) if len(parts) > 1 else parts[0]
        return y


@dataclass(frozen=True)
class LowerDilatedMaxPool(Lowering):
    """A maximum over elements that do not touch is one of strided slices, along each dimension in turn."""

    kind = (ops.MaxPool1d, ops.MaxPool2d)

    def lower(self, build: Build, node: Node, op: ops.MaxPool1d | ops.MaxPool2d) -> Value:
        """In float or in integers: a maximum keeps the scale."""
        if all(step == 1 for step in op.dilation):
            raise Skip("TFLite's MAX_POOL_2D")
        y, quant = node.input(0), node.output.quant
        for index, out in enumerate(node.output.type.shape[2:]):
            axis, size = index + 2, y.type.shape[index + 2]
            assert isinstance(size, int) and isinstance(out, int)
            kernel, stride, dilation, low = op.kernel[index], op.stride[index], op.dilation[index], op.padding[index]
            window = Window(size, out, (kernel - 1) * dilation + 1, stride, low)
            if any(window.explicit):
                pads = [(0, 0)] * y.type.rank
                pads[axis] = window.explicit
                y = build(ops.Pad(tuple(pads), value=float("-inf")), y, quant=quant)
            parts = [
                slice_of(build, y, axis, (k * dilation, k * dilation + (out - 1) * stride + 1), stride) for k in range(kernel)
            ]
            y = parts[0]
            for part in parts[1:]:
                y = build(ops.Maximum(), y, part, quant=quant)
        return y


def slice_of(build: Build, x: Value, axis: int, bounds: tuple[int, int], step: int = 1) -> Value:
    """The elements ``bounds[0]:bounds[1]:step`` along an axis."""
    rank = x.type.rank
    starts: list[int] = [0] * rank
    stops: Sequence[Dim] = list(x.type.shape)
    starts[axis] = bounds[0]
    ends = [*stops[:axis], bounds[1], *stops[axis + 1 :]]
    steps = tuple(step if other == axis else 1 for other in range(rank))
    return build(ops.Slice(tuple(starts), tuple(ends), steps), x, quant=x.quant)
