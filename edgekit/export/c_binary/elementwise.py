"""Ops that work value by value, as calls of the C kernels: the simulation's arithmetic with its numbers worked out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgekit.errors import Unsupported
from edgekit.export.c_binary.layers import Call
from edgekit.export.c_binary.values import Picture, array
from edgekit.ir import Node, QuantParams, Value, ops
from edgekit.ir.integer.activation_range import activation_range
from edgekit.ir.integer.fixed_point import quantize_multiplier, rescale
from edgekit.ir.integer.nodes.table import KERNELS
from edgekit.ir.integer.nodes.table import Call as Simulated
from edgekit.ir.quantized_data import quantize_constant

#: Ops of one value whose results are looked up in 256 bytes.
TABLES = (
    *(ops.Relu, ops.Relu6, ops.Clamp, ops.LeakyRelu, ops.Elu, ops.Hardswish, ops.Sigmoid, ops.Tanh, ops.Abs, ops.Gelu),
    ops.Identity,
)
TWO_SIDED = (ops.Add, ops.Sub, ops.Mul)

#: Sums are computed with so many more bits.
_MORE_BITS = 20
_LIMIT = 2**31 - 1


def table_call(node: Node, x: Picture, name: str) -> Call:
    """An op of one value: what the simulation gives for each of the 256 integers."""
    _values_only(node, x)
    every = torch.arange(-128, 128, dtype=torch.int8).reshape(1, 1, -1)
    found = KERNELS[type(node.op)](Simulated(node.op, (every,), (_quant(node.input(0)),), (_quant(node.output),)))
    assert isinstance(found, Tensor)
    constants = array("int8_t", f"{name}_table", found.flatten().tolist())
    count = x.pixels * x.channels
    return Call("looked_up", constants, ("IN", str(count), f"{name}_table"), x, node.op.name)


def prelu_call(node: Node, x: Picture, name: str) -> Call:
    """A slope for each channel, or one for all."""
    _values_only(node, x)
    slope, before, after = node.input(1), _quant(node.input(0)), _quant(node.output)
    numbers = _centred(slope).flatten()
    if numbers.numel() not in (1, x.channels) or (x.flat and numbers.numel() > 1):
        raise Unsupported("c-binary has one slope for each channel of a picture, or one for all", hint="nn.PReLU(channels)")
    s_in, s_out = np.float32(before.scale[0]), np.float32(after.scale[0])
    above = quantize_multiplier(float(s_in / s_out))
    below = quantize_multiplier(float(s_in * np.float32(_quant(slope).scale[0]) / s_out))
    reach = max(before.qmax - before.zero_point[0], before.zero_point[0] - before.qmin)
    _fits(reach, above)
    _fits(reach * int(numbers.abs().max()), below)
    constants = array("int16_t", f"{name}_slope", numbers.expand(x.channels).tolist())
    words = ("IN", x.pixels, x.channels, before.zero_point[0], *above, f"{name}_slope", *below, after.zero_point[0])
    return Call("prelu_values", constants, tuple(map(str, words)), x, "prelu")


def two_sided_call(node: Node, pictures: tuple[Picture | None, Picture | None], name: str) -> Call:
    """A sum, difference or product; a side without a picture is a constant."""
    first, second = pictures
    if first is not None and second is not None:
        return _of_pictures(node, first, second)
    x = first if first is not None else second
    assert x is not None
    _values_only(node, x)
    side = 0 if first is not None else 1
    constant = node.input(1 - side)
    numbers = _by_channel(node, constant, x)
    if isinstance(node.op, ops.Mul):
        return _times_channels(node, side, numbers, x, name)
    return _plus_channels(node, side, numbers, x, name)


def _of_pictures(node: Node, a: Picture, b: Picture) -> Call:
    if isinstance(node.op, ops.Mul):
        raise Unsupported("c-binary has no product of two pictures", hint="a sum, or a factor for each channel")
    _values_only(node, a)
    _values_only(node, b)
    if (a.height, a.width, a.channels, a.flat) != (b.height, b.width, b.channels, b.flat):
        raise Unsupported("c-binary adds pictures of one size alone", hint="give both branches the same channels and size")
    before = _quant(node.input(0)), _quant(node.input(1))
    (first, second), whole = _common(node, *before)
    ends = _ends(node)
    sign = 1 if isinstance(node.op, ops.Add) else -1
    words = ("IN", "IN2", a.pixels * a.channels, sign, before[0].zero_point[0], *first, before[1].zero_point[0], *second)
    return Call("added", "", tuple(map(str, (*words, *whole, *ends))), a, f"{node.op.name} of two pictures")


def _plus_channels(node: Node, side: int, numbers: Tensor, x: Picture, name: str) -> Call:
    quants = _quant(node.input(0)), _quant(node.input(1))
    multipliers, whole = _common(node, *quants)
    other = rescale(numbers << _MORE_BITS, *multipliers[1 - side])
    subtracts = isinstance(node.op, ops.Sub)
    if subtracts and side == 0:
        other = -other
    sign = -1 if subtracts and side == 1 else 1
    constants = array("int32_t", f"{name}_other", other.tolist())
    head = ("IN", x.pixels, x.channels, quants[side].zero_point[0], sign, *multipliers[side], f"{name}_other")
    return Call("added_channels", constants, tuple(map(str, (*head, *whole, *_ends(node)))), x, f"{node.op.name} by channel")


def _times_channels(node: Node, side: int, numbers: Tensor, x: Picture, name: str) -> Call:
    before, other, after = _quant(node.input(side)), _quant(node.input(1 - side)), _quant(node.output)
    product = np.float32(before.scale[0]) * np.float32(other.scale[0])
    multiplier = quantize_multiplier(float(product / np.float32(after.scale[0])))
    reach = max(before.qmax - before.zero_point[0], before.zero_point[0] - before.qmin)
    _fits(reach * int(numbers.abs().max()), multiplier)
    constants = array("int16_t", f"{name}_other", numbers.tolist())
    words = ("IN", x.pixels, x.channels, before.zero_point[0], f"{name}_other", *multiplier, *_ends(node))
    return Call("multiplied_channels", constants, tuple(map(str, words)), x, "mul by channel")


def _common(node: Node, a: QuantParams, b: QuantParams) -> tuple[tuple[tuple[int, int], tuple[int, int]], tuple[int, int]]:
    """The multipliers that bring both sides to twice the larger scale, and the one from there to the output's."""
    common = 2.0 * max(a.scale[0], b.scale[0])
    whole = quantize_multiplier(common / (2.0**_MORE_BITS * _quant(node.output).scale[0]))
    if whole[1] > 0:
        raise Unsupported(
            "the output scale of this sum is too small beside those of its inputs", hint="more typical calibration data"
        )
    return (quantize_multiplier(a.scale[0] / common), quantize_multiplier(b.scale[0] / common)), whole


def _ends(node: Node) -> tuple[int, int, int]:
    """Zero point, lowest and highest integer of the result."""
    quant = _quant(node.output)
    return (quant.zero_point[0], *activation_range(node.op.activation, quant))  # type: ignore[attr-defined]


def _by_channel(node: Node, constant: Value, x: Picture) -> Tensor:
    """The centred integers of a constant, one for each channel of the picture."""
    whole = _centred(constant).expand((1, *node.output.tensor_shape[1:]))
    if whole.numel() and bool((whole == whole.flatten()[0]).all()):
        return whole.flatten()[:1].expand(x.channels)
    columns = whole.movedim(1, 0).reshape(whole.shape[1], -1)
    if x.flat or whole.shape[1] != x.channels or not bool((columns == columns[:, :1]).all()):
        raise Unsupported(
            f"c-binary computes '{node.op.name}' with one number for each channel alone",
            hint="a constant of shape (channels, 1, 1), or a single number",
        )
    return columns[:, 0]


def _centred(value: Value) -> Tensor:
    """The integers of a constant less its zero point, int64."""
    quant = value.quant
    if not value.is_constant or quant is None or quant.axis is not None:
        raise Unsupported("c-binary takes constants of 8 bits with one scale here")
    return quantize_constant(value.tensor.detach(), quant).long() - quant.zero_point[0]


def _values_only(node: Node, x: Picture) -> None:
    if x.signs:
        raise Unsupported(f"c-binary computes '{node.op.name}' of integers, not of signs", hint="put it before the sign")


def _fits(reach: int, multiplier: tuple[int, int]) -> None:
    """Refuses what would leave 32 bits, where the runtime wraps around."""
    if reach << max(multiplier[1], 0) > _LIMIT:
        raise Unsupported("the rescaled numbers of this op need more than 32 bits", hint="more typical calibration data")


def _quant(value: Value) -> QuantParams:
    quant = value.quant
    if quant is None or quant.dtype != "int8":
        raise Unsupported("c-binary computes with 8-bit integers", hint='io = "int8", and a target of 8 bits')
    return quant
