"""Which layers Larq Compute Engine computes on bits, and why it cannot others."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from edgekit.export.tflite.emitters.padding import Window
from edgekit.ir import Graph, Node, ops
from edgekit.ir.quantized_data import quantize_constant
from edgekit.ir.signs import are_signs

LAYERS = (ops.Conv1d, ops.Conv2d, ops.Linear)


def binary_layers(graph: Graph) -> Iterator[Node]:
    """The integer layers every output channel of which has weights of one magnitude."""
    for node in graph.nodes:
        if isinstance(node.op, LAYERS) and node.output.quant is not None and _has_one_magnitude(node):
            yield node


def why_not(node: Node, batch: int = 1) -> str | None:
    """Why a layer stays one of 8-bit integers; None where it can be an LceBconv2d.

    Args:
        node: an integer layer.
        batch: of the file.
    """
    if not _has_one_magnitude(node):
        return "its weights are not binary"
    if not are_signs(node.input(0)):
        return "what it reads are not signs"
    if isinstance(node.op, ops.Linear):
        return None if len(node.output.tensor_shape) == 2 else "it is applied along more than one axis"
    if node.op.groups != 1:  # type: ignore[attr-defined]
        return "its kernels for grouped convolutions are not those that apps get"
    windows = windows_of(node, batch)
    if any(window.needed > 0 and window.reach > window.size for window in windows):
        return "its filter is larger than the picture"
    if not all(w.is_valid for w in windows) and not all(w.is_same or is_mirrored(w) for w in windows):
        return "it pads by none, or to the size of the input over the stride, and by nothing else"
    return None


def windows_of(node: Node, batch: int = 1) -> list[Window]:
    """The windows of a convolution over height and width; a signal has height 1."""
    op = node.op
    assert isinstance(op, ops.Conv1d | ops.Conv2d)
    shape, out = node.input(0).type.at(batch), node.output.type.at(batch)
    kernel = node.input(1).tensor_shape[2:]
    sizes = zip(shape[2:], out[2:], kernel, op.stride, op.dilation, op.padding, strict=True)
    found = [Window(size, o, (k - 1) * d + 1, s, pads[0]) for size, o, k, s, d, pads in sizes]
    return [Window(1, 1, 1, 1, 0), *found] if isinstance(op, ops.Conv1d) else found


def mirrored(window: Window) -> Window:
    """The same window over the reversed input, which gives the reversed output."""
    return Window(window.size, window.out, window.reach, window.stride, window.needed - window.low)


def is_mirrored(window: Window) -> bool:
    """It is TensorFlow's SAME once input, filter and output are reversed.

    A 3x3 convolution of stride 2 with torch's padding of 1 is, where the input's size is even: it pads before, SAME behind.
    """
    return not window.is_same and mirrored(window).low >= 0 and mirrored(window).is_same


def _has_one_magnitude(node: Node) -> bool:
    weight = node.input(1)
    if not weight.is_constant or weight.quant is None:
        return False
    integers = quantize_constant(weight.tensor.detach(), weight.quant).to(torch.int32).abs()
    flat = integers.reshape(len(integers), -1)
    return bool((flat == flat[:, :1]).all()) and bool((flat[:, 0] > 0).all())
