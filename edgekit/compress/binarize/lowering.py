"""A quantised graph with binary layers as a target wants it: thresholds fused, and weights stored in few bits."""

from __future__ import annotations

from edgekit.compress.binarize.absorbing import is_binary
from edgekit.compress.binarize.pointwise import hoist_signs
from edgekit.compress.binarize.thresholds import fuse_thresholds
from edgekit.compress.binarize.trained import fuse_trained_thresholds
from edgekit.compress.quantize.assign import LARGEST_BIAS
from edgekit.compress.quantize.params import bias_params
from edgekit.ir import Graph, Node, QuantParams, ops
from edgekit.ir.signs import are_signs, is_thresholded


def lower_binary(graph: Graph, packed: bool) -> None:
    """Fuses signs into the layers before them and, with ``packed``, stores weights of linear layers in 2 or 4 bits; in place.

    Graphs without binary layers stay as they are. Convolutions keep 8 bits a weight: LiteRT 2.3 computes those of 2 bits
    wrongly, and those of 4 outside its fast kernels. Those of single pixels are linear layers by then (``pointwise``).
    """
    if any(isinstance(node.op, ops.BinarySign) for node in graph.nodes):
        hoist_signs(graph)
        fuse_thresholds(graph)
    for node in graph.nodes if packed else ():
        if isinstance(node.op, ops.Linear) and has_binary_weight(node):
            _pack(node)


def lower_trained_binary(graph: Graph, packed: bool) -> None:
    """The same for a graph whose integers were trained, none of which it changes; in place."""
    if not any(isinstance(node.op, ops.BinarySign) for node in graph.nodes):
        return
    fuse_trained_thresholds(graph)
    for node in graph.nodes if packed else ():
        if isinstance(node.op, ops.Linear) and has_binary_weight(node) and is_thresholded(node):
            _pack(node)


def has_binary_weight(node: Node) -> bool:
    """An integer layer every output channel of which has weights of one magnitude."""
    if not isinstance(node.op, ops.Conv1d | ops.Conv2d | ops.Linear) or node.output.quant is None:
        return False
    weight, x = node.input(1), node.input(0).quant
    quantized = weight.is_constant and weight.quant is not None and len(weight.users) == 1
    return quantized and x is not None and x.dtype == "int8" and is_binary(weight.tensor)


def _pack(node: Node) -> None:
    """Two bits, as +1 and -1; four, as +7 and -7, where the bias of sums of signs would be too coarse beside ones."""
    weight, bias, x = node.input(1), node.optional(2), node.input(0).quant
    old = weight.quant
    assert old is not None and x is not None
    magnitudes = weight.tensor.detach().abs().reshape(len(weight.tensor), -1).amax(1).double()
    if is_thresholded(node):
        factor = round(float(magnitudes.max()) / old.scale[0])
        weight.quant = QuantParams("int2" if factor == 1 else "int4", old.scale, old.zero_point, old.axis, narrow=True)
        return
    if not bool(magnitudes.any()):
        return  # zeros alone: there is no magnitude that a step could be taken of
    most = 7 if are_signs(node.input(0)) else 1
    dtype = "int4" if most == 7 else "int2"
    scales = magnitudes / most
    scales = scales.where(magnitudes > 0, scales.max().clamp(min=1e-9))  # a channel of zeros is zeros at any scale
    if old.axis is None:
        if float(magnitudes.max()) != float(magnitudes.min()):
            return  # one scale for channels of several magnitudes
        scales = scales[:1]
    if bias is not None and bool((bias.tensor.detach().abs().double() >= scales * x.scale[0] * LARGEST_BIAS[dtype]).any()):
        return  # beside so small a weight the bias would leave the range of the kernels' sums
    weight.quant = QuantParams(dtype, tuple(scales.tolist()), (0,) * len(scales), old.axis, narrow=True)
    if bias is not None:
        bias.quant = bias_params(x, weight.quant)
