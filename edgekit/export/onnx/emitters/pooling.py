"""Pooling. Output sizes are torch's, written as explicit padding: runtimes disagree about ``ceil_mode``."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node

_Pool = ops.MaxPool1d | ops.MaxPool2d | ops.AvgPool1d | ops.AvgPool2d


def _high_padding(node: Node, op: _Pool, dilation: tuple[int, ...]) -> list[int]:
    """Padding at the ends with which windows that all fit give torch's output size.

    With ``ceil_mode`` torch adds a last window that leaves the padded input, if it begins inside the input or its low padding.
    """
    padding = []
    sizes = zip(node.input(0).tensor_shape[2:], node.output.tensor_shape[2:], strict=True)
    for axis, (size, windows) in enumerate(sizes):
        reach = (windows - 1) * op.stride[axis] + dilation[axis] * (op.kernel[axis] - 1) + 1
        padding.append(max(op.padding[axis], reach - size - op.padding[axis]))
    return padding


@emits(ops.MaxPool1d, ops.MaxPool2d)
def max_pool(to: Emission, node: Node, op: ops.MaxPool1d | ops.MaxPool2d) -> Tensor:
    """MaxPool; padding never wins, so more of it at the end changes nothing but the number of windows."""
    return to.add(
        "MaxPool",
        to.read(node.input(0)),
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=[*op.padding, *_high_padding(node, op, op.dilation)],
        dilations=op.dilation,
    )


@emits(ops.AvgPool1d, ops.AvgPool2d)
def avg_pool(to: Emission, node: Node, op: ops.AvgPool1d | ops.AvgPool2d) -> Tensor:
    """AveragePool.

    torch divides by the elements of a window within the padded input (``count_include_pad``) or within the input, or by a given
    ``divisor``. ONNX divides by the elements within the input, or by the window's size.
    """
    low, high = list(op.padding), _high_padding(node, op, (1,) * len(op.kernel))
    divisor = getattr(op, "divisor", None)
    partial = high != low and divisor is None  # a window reaches beyond what counts
    whole = divisor is not None or (op.count_include_pad and (any(low) or not partial))
    result = to.add(
        "AveragePool",
        to.read(node.input(0)),
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=[*low, *high],
        count_include_pad=int(whole),
    )
    if divisor is not None:
        return to.add("Mul", result, to.scalar(prod(op.kernel) / divisor))
    if whole and partial:
        return to.add("Mul", result, to.shared(_corrections(node, op)))
    return result


def _corrections(node: Node, op: ops.AvgPool1d | ops.AvgPool2d) -> torch.Tensor:
    """For each window, its size divided by the number of its elements within the padded input."""
    factors = torch.ones(())
    for axis, size in enumerate(node.input(0).tensor_shape[2:]):
        starts = torch.arange(node.output.tensor_shape[2 + axis]) * op.stride[axis]
        inside = (size + 2 * op.padding[axis] - starts).clamp(max=op.kernel[axis])
        factors = factors.unsqueeze(-1) * (op.kernel[axis] / inside)
    return factors


@emits(ops.AdaptiveAvgPool2d)
def adaptive_avg_pool(to: Emission, node: Node, op: ops.AdaptiveAvgPool2d) -> Tensor:
    """GlobalAveragePool or AveragePool where the windows are equal, else A x B^T with a matrix of means for each axis."""
    x = to.read(node.input(0))
    sizes, windows = node.input(0).tensor_shape[2:], node.output.tensor_shape[2:]
    if windows == (1, 1):
        return to.add("GlobalAveragePool", x)
    if all(size % count == 0 for size, count in zip(sizes, windows, strict=True)):
        kernel = [size // count for size, count in zip(sizes, windows, strict=True)]
        return to.add("AveragePool", x, kernel_shape=kernel, strides=kernel)
    # Rows of the matrix are what the pool makes of unit vectors: the windows are torch's own.
    rows, columns = (F.adaptive_avg_pool1d(torch.eye(size)[None], count)[0] for size, count in zip(sizes, windows, strict=True))
    return to.add("MatMul", to.add("MatMul", to.shared(rows.T.contiguous()), x), to.shared(columns))


@emits(ops.AdaptiveMaxPool2d)
def adaptive_max_pool(to: Emission, node: Node, op: ops.AdaptiveMaxPool2d) -> Tensor:
    """MaxPool where the windows are equal, else per axis the windows' elements gathered and their maximum."""
    x = to.read(node.input(0))
    sizes, windows = node.input(0).tensor_shape[2:], node.output.tensor_shape[2:]
    if all(size % count == 0 for size, count in zip(sizes, windows, strict=True)):
        kernel = [size // count for size, count in zip(sizes, windows, strict=True)]
        return to.add("MaxPool", x, kernel_shape=kernel, strides=kernel)
    for axis, (size, count) in enumerate(zip(sizes, windows, strict=True), start=2):
        starts = [i * size // count for i in range(count)]
        stops = [-(-(i + 1) * size // count) for i in range(count)]
        widest = max(stop - start for start, stop in zip(starts, stops, strict=True))
        # Short windows repeat their last element, which leaves the maximum as it is.
        table = [[min(start + k, stop - 1) for k in range(widest)] for start, stop in zip(starts, stops, strict=True)]
        x = to.add("Gather", x, to.shared(torch.tensor(table)), axis=axis)
        x = to.add("ReduceMax", x, to.ints([axis + 1]), keepdims=0)
    return x
