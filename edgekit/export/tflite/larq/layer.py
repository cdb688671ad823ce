"""One LceBconv2d, and what its result needs to become the node's.

The operator counts the bits in which inputs and weights differ. A tap outside of the picture is a bit of its own, +1; the
kernels take its products off again ("zero padding") only where they write floats. So a layer that pads writes floats, which are
packed or quantised by an operator of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.larq import between
from edgekit.export.tflite.larq.bits import differing, encoded, packed_signs, words
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import ActivationFunctionType, BuiltinOperator, Padding
from edgekit.ir.integer.activation_range import activation_range
from edgekit.ir.signs import is_thresholded


@dataclass(frozen=True)
class Layer:
    """A binary layer in the file's order.

    Attributes:
        weight: integers (O, C, H, W), +q and -q.
        order: for each output channel in the file the channel in the graph.
        padding: in TensorFlow's terms.
        stride, dilation: of rows and columns.
        pads: some window reaches outside of the picture.
    """

    weight: NDArray[np.generic]
    order: NDArray[np.int64]
    padding: Padding
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: bool

    @property
    def magnitude(self) -> NDArray[np.int64]:
        """q of every output channel."""
        found: NDArray[np.int64] = np.abs(self.weight.reshape(len(self.weight), -1)[:, 0].astype(np.int64))
        return found


def write_layer(site: Site, layer: Layer, bits: int, turned: Sequence[int]) -> None:
    """Writes the layer that reads packed signs; axes in ``turned`` are reversed behind it."""
    scale, bias = _bias(site, layer)
    if not is_thresholded(site.node):
        _rescaled(site, layer, bits, turned, scale, bias)
        return
    # n + c >= 1 for n = q * sum: the smallest sum that gives +1, rounded up by a floor division of the negative.
    least = -((bias - 1) // layer.magnitude)
    signs = _signs(site, layer, bits, least)
    between.give(site, between.reversed_axes(site, signs, turned))


def _signs(site: Site, layer: Layer, bits: int, least: NDArray[np.int64]) -> int:
    shape = _shape(site, layer)
    if layer.pads:
        # sum - least + 1/2 is never 0, and float32 holds it exactly.
        offset = (0.5 - least).astype(np.float32)
        return between.quantized(site, _floats(site, layer, bits, np.ones(len(least), np.float32), offset))
    out = between.new(site, (*shape[:3], words(shape[3])))
    thresholds = site.sheet.constant(differing(least, int(np.prod(layer.weight.shape[1:]))))
    _convolve(site, layer, [bits, _weight(site, layer), -1, -1, thresholds], out)
    return out


def _rescaled(
    site: Site, layer: Layer, bits: int, turned: Sequence[int], scale: NDArray[np.float64], bias: NDArray[np.int64]
) -> None:
    """Sums as 8-bit integers, with a fused activation behind them.

    The engine rounds once, from float32. The simulation, like LiteRT's reference kernels, rounds twice in fixed point, to
    2 ** shift parts of an integer and then to an integer: what lies below a half by less than half such a part goes up there.
    So some integers differ by one.
    """
    quant = site.node.output.quant
    assert quant is not None
    factor, offset = (scale * layer.magnitude).astype(np.float32), (scale * bias).astype(np.float32)
    shape = _shape(site, layer)
    if layer.pads:
        floats = _floats(site, layer, bits, factor, offset)
        out = site.to.like(site.node.output, shape)
        site.sheet.operator(BuiltinOperator.QUANTIZE, [floats], [out], Options("QuantizeOptions"))
    else:
        out = site.to.like(site.node.output, shape)
        _convolve(site, layer, [bits, _weight(site, layer), site.sheet.constant(factor), site.sheet.constant(offset), -1], out)
    out = between.reversed_axes(site, out, turned)
    low, high = activation_range(site.node.op.activation, quant)  # type: ignore[attr-defined]
    for code, table, bound, free in (
        (BuiltinOperator.MAXIMUM, "MaximumMinimumOptions", low, quant.qmin),
        (BuiltinOperator.MINIMUM, "MaximumMinimumOptions", high, quant.qmax),
    ):
        if bound != free:
            limited = site.new_like(out, shape)
            limit = site.to.array(np.full((1,), bound, np.int8), quant)
            site.sheet.operator(code, [out, limit], [limited], Options(table))
            out = limited
    if shape != site.form.physical:
        named = site.to.like(site.node.output, site.form.physical)
        site.to.reshape(out, named)
        out = named
    site.alias(out)


def _floats(site: Site, layer: Layer, bits: int, factor: NDArray[np.float32], offset: NDArray[np.float32]) -> int:
    out = site.new(_shape(site, layer))
    _convolve(site, layer, [bits, _weight(site, layer), site.sheet.constant(factor), site.sheet.constant(offset), -1], out)
    return out


def _convolve(site: Site, layer: Layer, inputs: Sequence[int], out: int) -> None:
    options = {
        "channels_in": layer.weight.shape[1],
        "dilation_height_factor": layer.dilation[0],
        "dilation_width_factor": layer.dilation[1],
        "fused_activation_function": int(ActivationFunctionType.NONE),
        "pad_values": 0,
        "padding": int(layer.padding),
        "stride_height": layer.stride[0],
        "stride_width": layer.stride[1],
    }
    site.sheet.custom("LceBconv2d", inputs, [out], encoded(options))


def _weight(site: Site, layer: Layer) -> int:
    return site.sheet.constant(packed_signs(layer.weight.transpose(0, 2, 3, 1)))


def _shape(site: Site, layer: Layer) -> tuple[int, ...]:
    """Of the result, as (N, H, W, O)."""
    form = site.form.physical
    return form if len(form) == 4 else (form[0], 1, 1, len(layer.weight))


def _bias(site: Site, layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The real value of 1 in a channel's sum of integers, and its integer bias."""
    node = site.node
    x, weight, bias = node.input(0).quant, node.input(1).quant, node.optional(2)
    assert x is not None and weight is not None
    scales = np.array(weight.scale * (len(layer.order) if weight.axis is None else 1), np.float64)[layer.order]
    integers = np.zeros(len(layer.order), np.int64) if bias is None else values_of(bias).astype(np.int64)[layer.order]
    return scales * x.scale[0], integers
