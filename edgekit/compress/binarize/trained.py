"""Signs fused into layers whose integers were trained: the threshold is where the rounded values of the training turn.

Training sees sign(round(y)), which is +1 for a y that is below 0 and rounds to it. So the threshold is where y / s_y reaches
-1/2, and every runtime gives the signs that the training saw. Behind a layer that keeps its sign as an op of its own, the
rounding of a kernel decides: LiteRT's reference kernels, which round twice, turn some that are close to that point.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgekit.compress.binarize.pointwise import hoist_signs
from edgekit.compress.binarize.thresholds import Threshold, can_fuse, sums_share_parity, write_threshold
from edgekit.ir import Graph, Node, QuantParams, ops
from edgekit.ir.integer.accumulate import largest
from edgekit.ir.quantized_data import quantize_constant
from edgekit.ir.signs import SIGNS, are_signs

#: A weight that is stored enlarged twice still fits 8 bits.
_LARGEST = 63


def fuse_trained_thresholds(graph: Graph) -> list[str]:
    """As ``fuse_thresholds``, in place, where the trained weights can stay as they are; the names of the layers' weights.

    A layer whose sums can be even and odd needs its weights twice as large, and keeps its sign behind it where those of 8 bits
    do not fit so.
    """
    hoist_signs(graph)
    fused = []
    for sign in [node for node in graph.nodes if isinstance(node.op, ops.BinarySign)]:
        layer = sign.input(0).producer
        if layer is None or not can_fuse(graph, layer, sign) or (found := _threshold(layer)) is None:
            continue
        write_threshold(graph, layer, found)
        graph.replace(sign.output, layer.output)
        layer.output.quant = SIGNS
        graph.remove(sign)
        fused.append(layer.input(1).name)
    return fused


def _threshold(layer: Node) -> Threshold | None:
    """Weights and thresholds of a layer of trained integers; None where the weights are too large."""
    x, weight, bias = layer.input(0).quant, layer.input(1), layer.optional(2)
    if x is None or weight.quant is None or layer.output.quant is None or (bias is not None and bias.quant is None):
        return None
    whole = quantize_constant(weight.tensor.detach(), weight.quant).long()
    flat = whole.reshape(len(whole), -1)
    offset = torch.zeros(len(whole), dtype=torch.int64)
    if bias is not None and bias.quant is not None:
        offset = quantize_constant(bias.tensor.detach(), bias.quant).long()
    signs = are_signs(layer.input(0))
    most = flat.abs().sum(1) * (1 if signs else largest(x))
    least = _smallest(_turns(x, weight.quant, layer.output.quant, offset), most)
    magnitude = flat.abs().amax(1)
    if bool((flat.abs() == magnitude[:, None]).all()) and bool((magnitude > 0).all()):
        factor = 1 if signs and sums_share_parity(layer) else 2
        least = -(-least // magnitude)
        if factor == 1:
            least = least + (least - flat.shape[1]).remainder(2)
        return Threshold(whole.sign(), least, factor)
    return Threshold(whole, least, 2) if int(magnitude.max()) <= _LARGEST else None


def _turns(x: QuantParams, weight: QuantParams, y: QuantParams, offset: Tensor) -> Callable[[Tensor], Tensor]:
    """For sums of every channel: whether the layer's value rounds to 0 or above."""
    scales = weight.scale if weight.per_channel else weight.scale * len(offset)
    factors = torch.tensor([x.scale[0] * scale / y.scale[0] for scale in scales], dtype=torch.float64)
    always = y.zero_point[0] == y.qmin
    return lambda sums: ((sums + offset).double() * factors >= -0.5) | always


def _smallest(holds: Callable[[Tensor], Tensor], most: Tensor) -> Tensor:
    """The smallest sum from -most to most for which a condition holds, which holds for all above it; most + 1 if for none."""
    low, high = -most, most + 1
    while bool((low < high).any()):
        middle = torch.div(low + high, 2, rounding_mode="floor")
        found = holds(middle)
        high = torch.where(found & (low < high), middle, high)
        low = torch.where(~found & (low < high), middle + 1, low)
    return high
