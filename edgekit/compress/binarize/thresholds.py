"""Layers whose sums are only compared: batch norm and sign become one integer threshold per channel.

For a layer in integers whose output a sign reads, with weight integers w, centred inputs x and a real bias b, ::

    sign(s (w . x) + b) = +1  where  w . x >= T,   T = ceil(-b / s)

for the positive scale s of the channel; a batch norm with negative scale has turned the signs of w when it was folded. The
comparison is written so that every runtime computes it with the operators that it has: the sum n + c of an integer layer,
clamped to [-1, 1], where n + c is never 0 ::

    n = w . x,  c = 1 - T       where all sums of the layer are even, or all odd; T is the next that can occur
    n = 2 (w . x),  c = 1 - 2 T     otherwise

The result is exactly +1 or -1, at scale 1, and nothing is rounded on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.compress.binarize.absorbing import is_binary
from edgekit.ir import Graph, Node, QuantParams, ops
from edgekit.ir.integer.accumulate import largest
from edgekit.ir.signs import SIGNS, are_signs

LAYERS = (ops.Conv1d, ops.Conv2d, ops.Linear)

#: Sums stay below this size, so that float32 holds every one of them.
_EXACT = 2**23

#: The largest weight integer of a layer whose inputs are no signs: one that doubled still fits 8 bits.
_LARGEST = 63


@dataclass(frozen=True)
class Threshold:
    """What a fused layer compares.

    Attributes:
        weight: integers before doubling, (O, ...) int64; only +1 and -1 where inputs are signs.
        least: (O,) int64: the smallest sum that gives +1.
        factor: 1 or 2, by which weights are stored enlarged.
    """

    weight: Tensor
    least: Tensor
    factor: int


def fuse_thresholds(graph: Graph) -> list[str]:
    """Fuses every sign that reads an integer layer into that layer, in place; the names of the layers' weights.

    Given::   %y ~ int8 = conv2d(%x, @w, @b)
              %z ~ int8(scale=1) = binary_sign(%y)
    Result::  %z ~ int8(scale=1) = conv2d(%x, @integers, @c, activation="relu_n1_to_1")
    """
    fused = []
    for sign in [node for node in graph.nodes if isinstance(node.op, ops.BinarySign)]:
        layer = sign.input(0).producer
        if layer is None or not can_fuse(graph, layer, sign):
            continue
        write_threshold(graph, layer, threshold_of(layer, are_signs(layer.input(0))))
        graph.replace(sign.output, layer.output)
        layer.output.quant = SIGNS
        graph.remove(sign)
        fused.append(layer.input(1).name)
    return fused


def can_fuse(graph: Graph, layer: Node, sign: Node) -> bool:
    """The sign alone reads an integer layer of constant weights."""
    if not isinstance(layer.op, LAYERS) or layer.op.activation != "none" or sign.output.quant != SIGNS:
        return False
    weight, bias = layer.input(1), layer.optional(2)
    constant = weight.is_constant and weight.quant is not None and (bias is None or bias.is_constant)
    x = layer.input(0).quant
    return constant and x is not None and x.dtype == "int8" and graph.readers(layer.output) == 1


def threshold_of(layer: Node, signs: bool) -> Threshold:
    """Weights and thresholds of an integer layer; ``signs``: all that it reads is +1 or -1."""
    real, bias = layer.input(1).tensor.detach().double(), layer.optional(2)
    offset = torch.zeros(len(real), dtype=torch.float64) if bias is None else bias.tensor.detach().double()
    quant = layer.input(0).quant
    assert quant is not None
    reach = 1 if signs else largest(quant)
    flat = real.reshape(len(real), -1)
    magnitudes = flat.abs().amax(1)
    steps = torch.where(magnitudes > 0, magnitudes, 1.0)
    if is_binary(real):
        integers = torch.where(flat >= 0, 1, -1)
        integers[magnitudes == 0] = 1  # a channel without weights: the offset alone decides
        steps = torch.where(magnitudes > 0, steps, 0.0)
    else:
        limit = _LARGEST
        while True:
            integers = (flat / (steps / limit)[:, None]).round().long()
            if limit <= 1 or 2 * int(integers.abs().sum(1).max()) * reach < _EXACT:
                break
            limit //= 2
        steps = steps / limit
    unit = steps * quant.scale[0]
    most = integers.abs().sum(1) * reach
    least = torch.where(
        unit > 0, (-offset / torch.where(unit > 0, unit, 1.0)).ceil(), torch.where(offset >= 0, -torch.inf, torch.inf)
    )
    least = torch.minimum(torch.maximum(least, -most.double()), most.double() + 1).long()
    least = _settled(least, unit, offset, most)
    factor = 1 if signs and is_binary(real) and sums_share_parity(layer) else 2
    if factor == 1:
        least = least + (least - flat.shape[1]).remainder(2)
    return Threshold(integers.reshape(real.shape), least, factor)


def _settled(least: Tensor, unit: Tensor, offset: Tensor, most: Tensor) -> Tensor:
    """The division may have rounded over an integer: the sign of the sum itself decides."""
    down = (unit * (least - 1) + offset >= 0) & (least > -most)
    least = torch.where(down, least - 1, least)
    up = (unit * least + offset < 0) & (least <= most)
    return torch.where(up, least + 1, least)


def sums_share_parity(layer: Node) -> bool:
    """Every sum has as many terms, or is even: no padding, or an even number of channels."""
    padded = any(side for pair in getattr(layer.op, "padding", ()) for side in pair)
    return not padded or layer.input(1).tensor_shape[1] % 2 == 0


def write_threshold(graph: Graph, layer: Node, threshold: Threshold) -> None:
    """Gives a layer the integers of a comparison, in place."""
    x = layer.input(0).quant
    assert x is not None
    step = float(torch.tensor(1.0 / x.scale[0], dtype=torch.float32))
    one = float(torch.tensor(x.scale[0] * step, dtype=torch.float32))
    weight = QuantParams("int8", (step,), (0,), None, narrow=True)
    bias = QuantParams("int32", (one,), (0,))
    numbers = 1 - threshold.factor * threshold.least
    _constant(graph, layer, 1, threshold.factor * threshold.weight * step, weight)
    _constant(graph, layer, 2, numbers.double() * one, bias)
    assert isinstance(layer.op, LAYERS)
    graph.set_op(layer, layer.op.with_(activation="relu_n1_to_1"))


def _constant(graph: Graph, node: Node, index: int, data: Tensor, quant: QuantParams) -> None:
    """Gives a node a constant of its own, under the name of the one that it had."""
    old, data = node.optional(index), data.float()
    if old is not None and graph.readers(old) == 1:
        old.data, old.quant = data, quant
        return
    made = graph.constant(data, f"{node.name}.threshold" if old is None else old.name)
    made.quant = quant
    if old is None:
        graph.extend_input(node, made)
    else:
        graph.set_input(node, index, made)
