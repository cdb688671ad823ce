"""Weights and biases of products, in the order and type that TFLite's kernels read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import Unsupported
from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.element_types import to_numpy
from edgekit.export.tflite.emission import Site
from edgekit.ir import QuantParams, Value
from edgekit.ir.quantized_data import quantize_bias

Array = NDArray[np.generic]


def constant_weight(site: Site) -> Value:
    """The weight of a node.

    Raises:
        Unsupported: the weight is computed by the model itself.
    """
    weight = site.node.input(1)
    if not weight.is_constant:
        raise Unsupported(
            f"'{site.node.op.name}' with a weight that the model computes",
            hint="TFLite's kernels take constant weights here; write it with matmul",
        )
    return weight


def reordered(quant: QuantParams | None, order: NDArray[np.int64]) -> QuantParams | None:
    """Per-channel parameters in another order of the channels."""
    if quant is None or quant.axis is None:
        return quant
    return replace(
        quant,
        scale=tuple(quant.scale[i] for i in order.tolist()),
        zero_point=tuple(quant.zero_point[i] for i in order.tolist()),
    )


def put_weight(site: Site, array: Array, order: NDArray[np.int64], axis: int) -> int:
    """A weight array whose channels stand along ``axis`` of the file's tensor, in ``order``.

    ``array`` is in the file's order already; only its parameters are reordered.

    Raises:
        Unsupported: kernels read the weight's integers as symmetric ones, and they are not.
    """
    quant = site.node.input(1).quant
    if quant is not None and any(quant.zero_point):
        raise Unsupported(
            f"'{site.node.op.name}' with a weight around another zero point than 0",
            hint="quantise its weights symmetrically",
        )
    return site.to.array(array, reordered(quant, order), axis)


def put_bias(site: Site, count: int, order: NDArray[np.int64]) -> int:
    """The bias in the order of the channels, zeros where the node has none: some kernels demand one."""
    bias = site.node.optional(2)
    x, weight = site.node.input(0), site.node.input(1)
    if not site.is_integer:
        values = np.zeros(count, np.float32) if bias is None else values_of(bias)
        return site.sheet.constant(values[order])
    if bias is not None and bias.quant is not None:
        quant = _as_many_scales(bias.quant, weight.quant, count)
        return site.to.array(values_of(bias)[order], reordered(quant, order))
    assert x.quant is not None and weight.quant is not None, "the quantiser left a weight or an input in float"
    scales = [x.quant.scale[0] * scale for scale in weight.quant.scale]
    dtype = "int64" if x.quant.dtype == "int16" else "int32"
    quant = QuantParams(dtype, tuple(scales), (0,) * len(scales), 0 if weight.quant.axis is not None else None)
    integers = np.zeros(count, dtype) if bias is None else to_numpy(quantize_bias(bias.tensor, scales, dtype))
    return site.to.array(integers[order], reordered(quant, order))


def _as_many_scales(bias: QuantParams, weight: QuantParams | None, count: int) -> QuantParams:
    """A bias's parameters with one scale, or one per channel, as the weight has: delegates refuse a mixture."""
    if weight is not None and weight.axis is None and bias.axis is not None and len(set(bias.scale)) == 1:
        return replace(bias, scale=bias.scale[:1], zero_point=bias.zero_point[:1], axis=None)
    if weight is not None and weight.axis is not None and bias.axis is None:
        return replace(bias, scale=bias.scale * count, zero_point=bias.zero_point * count, axis=0)
    return bias
