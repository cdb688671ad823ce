"""Convolutions and linear layers as calls of the C kernels, with their constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from edgekit.errors import Unsupported
from edgekit.export.c_binary.values import Picture, array, packed
from edgekit.ir import Node, ops
from edgekit.ir.integer.accumulate import largest
from edgekit.ir.integer.activation_range import activation_range
from edgekit.ir.integer.fixed_point import quantize_multipliers
from edgekit.ir.quantized_data import quantize_constant
from edgekit.ir.signs import is_thresholded

_LIMIT = 2**31 - 1

#: Rows and columns.
Sizes: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True)
class Call:
    """A call of a kernel.

    Attributes:
        kernel: its name.
        constants: C definitions that belong to it.
        arguments: before the output; IN and IN2 stand for what it reads.
        result: what it writes.
        note: a comment for it.
    """

    kernel: str
    constants: str
    arguments: tuple[str, ...]
    result: Picture
    note: str


def layer_call(node: Node, x: Picture, name: str) -> Call:
    """The call for a layer in integers.

    Args:
        node: a quantised ``conv1d``, ``conv2d`` or ``linear``.
        x: what it reads.
        name: the beginning of the names of its constants.

    Raises:
        Unsupported: groups of signs that are no whole words, sums beyond 32 bits.
    """
    weight = _weight(node, x)
    window, result = _window(node, x, weight)
    quant, bias_value = node.input(0).quant, node.optional(2)
    assert quant is not None
    binary = _has_one_magnitude(weight)
    bias = torch.zeros(len(weight), dtype=torch.int64)
    if bias_value is not None and bias_value.quant is not None:
        bias = quantize_constant(bias_value.tensor.detach(), bias_value.quant).long()
    reach = 1 if x.signs else largest(quant)
    most = weight.abs().reshape(len(weight), -1).sum(1) * reach
    if int((most + bias.abs()).max()) > _LIMIT:
        raise Unsupported("the sums of this layer need more than 32 bits", hint="fewer inputs for each output")
    sums = "bits" if x.signs else "mixed" if binary else "bytes"
    if x.signs and not binary:
        raise Unsupported("c-binary multiplies signs by signs alone", hint="name this layer in 'layers' of the step binarize")
    factor = weight.abs().reshape(len(weight), -1).amax(1) if binary else torch.ones(len(weight), dtype=torch.int64)
    ordered = weight.permute(0, 2, 3, 1)  # rows, columns, channels
    if sums == "bytes":
        constants = array("int8_t", f"{name}_weights", ordered.flatten().tolist())
    else:
        constants = array("uint32_t", f"{name}_weights", packed(ordered).flatten().tolist())
    constants += window.replace("WINDOW", f"{name}_window")
    zero = 0 if x.signs else quant.zero_point[0]
    before = (f"&{name}_window", "IN", f"{name}_weights", str(zero))
    if is_thresholded(node):
        # n + c >= 1 for n = factor * sum; floor division rounds up what stands on the left.
        least = -((bias - 1) // factor.clamp(min=1)) if binary else 1 - bias
        constants += array("int32_t", f"{name}_least", least.tolist())
        note = f"{_described(node)}: {sums} to signs"
        return Call(f"signs_of_{sums}", constants, (*before, f"{name}_least"), _as_signs(result), note)
    return _rescaled(node, sums, constants, before, factor, bias, most, result, name)


def _rescaled(
    node: Node,
    sums: str,
    constants: str,
    before: tuple[str, ...],
    factor: Tensor,
    bias: Tensor,
    most: Tensor,
    result: Picture,
    name: str,
) -> Call:
    """The call for a layer whose sums become 8-bit integers."""
    x, w, y = (value.quant for value in (node.input(0), node.input(1), node.output))
    assert x is not None and w is not None and y is not None
    scales = w.scale if w.per_channel else w.scale * len(bias)
    reals = [x.scale[0] * scale / y.scale[0] for scale in scales]
    low, high = activation_range(node.op.activation, y)  # type: ignore[attr-defined]
    constants += array("int32_t", f"{name}_factor", factor.tolist()) + array("int32_t", f"{name}_bias", bias.tolist())
    arguments = (*before, f"{name}_factor", f"{name}_bias")
    ends = (str(y.zero_point[0]), str(low), str(high))
    note = f"{_described(node)}: {sums} to integers"
    if isinstance(node.op, ops.Linear):
        constants += array("double", f"{name}_scale", reals)
        return Call(f"linear_of_{sums}", constants, (*arguments, f"{name}_scale", *ends), result, note)
    significand, shift = quantize_multipliers(reals)
    if bool((((most + bias.abs()) << shift.clamp(min=0)) > _LIMIT).any()):
        raise Unsupported("the rescaled sums of this layer need more than 32 bits", hint="more typical calibration data")
    constants += array("int32_t", f"{name}_significand", significand.tolist())
    constants += array("int8_t", f"{name}_shift", shift.tolist())
    return Call(f"bytes_of_{sums}", constants, (*arguments, f"{name}_significand", f"{name}_shift", *ends), result, note)


def _weight(node: Node, x: Picture) -> Tensor:
    """The integers of the weight as (O, C, KH, KW), int64."""
    value = node.input(1)
    if not value.is_constant or value.quant is None:
        raise Unsupported(f"c-binary computes no '{node.op.name}' with a weight that the model computes")
    weight = quantize_constant(value.tensor.detach(), value.quant).long()
    if isinstance(node.op, ops.Linear):
        return weight.reshape(len(weight), x.channels, x.height, x.width)
    if node.op.groups != 1 and x.signs and weight.shape[1] % 32:  # type: ignore[attr-defined]
        raise Unsupported(
            "c-binary computes groups of signs whose channels fill whole words of 32", hint="groups of 32, 64, ... channels"
        )
    return weight.unsqueeze(2) if weight.dim() == 3 else weight


def _window(node: Node, x: Picture, weight: Tensor) -> tuple[str, Picture]:
    """The C definition of the window under the name WINDOW, and what the layer gives."""
    kernel = tuple(weight.shape[2:])
    if isinstance(node.op, ops.Linear):
        if len(node.output.tensor_shape) != 2:
            raise Unsupported("c-binary computes linear layers of vectors alone", hint="flatten before the layer")
        return window(x, kernel, (1, 1), (0, 0), (1, 1), result := Picture(1, 1, len(weight))), result
    if x.flat:
        raise Unsupported("c-binary computes no convolution of what was flattened")
    op = node.op
    assert isinstance(op, ops.Conv1d | ops.Conv2d)
    stride, dilation = ((1, *op.stride)[-2:], (1, *op.dilation)[-2:])
    before = (0, *(low for low, _ in op.padding))[-2:]
    spatial = (1, *node.output.tensor_shape[2:])[-2:]
    result = Picture(spatial[0], spatial[1], len(weight))
    return window(x, kernel, stride, before, dilation, result, op.groups), result


def window(x: Picture, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, y: Picture, groups: int = 1) -> str:
    """The C definition of a window under the name WINDOW."""
    sizes = (x.height, x.width, x.channels, y.height, y.width, y.channels)
    numbers = (*sizes, *kernel, *stride, *padding, *dilation, x.channels // groups, y.channels // groups)
    return f"static const window_t WINDOW = {{{', '.join(map(str, numbers))}}};\n"


def _as_signs(picture: Picture) -> Picture:
    return Picture(picture.height, picture.width, picture.channels, signs=True)


def _has_one_magnitude(weight: Tensor) -> bool:
    """Every output channel has +q and -q alone, q > 0."""
    flat = weight.abs().reshape(len(weight), -1)
    return bool((flat == flat[:, :1]).all()) and bool((flat[:, 0] > 0).all())


def _described(node: Node) -> str:
    name = node.input(1).name
    return f"{node.op.name} {name}"
