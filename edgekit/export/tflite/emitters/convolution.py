"""CONV_2D and DEPTHWISE_CONV_2D. A one-dimensional convolution is one over images of height 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.export.tflite.constants import order_along, values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.fused import FUSED
from edgekit.export.tflite.emitters.linear import product
from edgekit.export.tflite.emitters.padding import Window, padded, plan
from edgekit.export.tflite.emitters.weights import constant_weight, put_bias, put_weight
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator
from edgekit.ir import ops


@emits(ops.Conv1d)
def conv1d(site: Site, op: ops.Conv1d) -> None:
    """Height 1: the weight (O, I, K) is (O, I, 1, K). Along a sequence (N, L, C) a filter of one step is a product."""
    if len(site.form.physical) == 3:
        product(site, values_of(constant_weight(site))[:, :, 0], 1, op.activation)
        return
    weight = values_of(constant_weight(site))[:, :, None, :]
    image = ops.Conv2d(
        stride=(1, *op.stride),
        padding=((0, 0), *op.padding),
        dilation=(1, *op.dilation),
        groups=op.groups,
        activation=op.activation,
    )
    convolve(site, image, weight)


@emits(ops.Conv2d)
def conv2d(site: Site, op: ops.Conv2d) -> None:
    """The weight (O, I, H, W) becomes (O, H, W, I), or (1, H, W, O) where every channel has filters of its own."""
    convolve(site, op, values_of(constant_weight(site)))


def convolve(site: Site, op: ops.Conv2d, weight: NDArray[np.generic]) -> None:
    """Write a convolution whose input and output are (N, H, W, C) in the file."""
    x = site.read()
    shape, out = site.sheet.tensors[x].shape, site.form.physical
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], op.dilation, strict=True)]
    windows = [Window(shape[1 + i], out[1 + i], reach[i], op.stride[i], op.padding[i][0]) for i in range(2)]
    chosen = plan(windows)
    x = padded(site, x, chosen.before)
    read, give = order_along(site.input_form(0), 1), order_along(site.form, 1)
    options: dict[str, int] = {
        "padding": chosen.padding,
        "stride_h": op.stride[0],
        "stride_w": op.stride[1],
        "fused_activation_function": FUSED[op.activation],
    }
    if op.dilation != (1, 1):
        options |= {"dilation_h_factor": op.dilation[0], "dilation_w_factor": op.dilation[1]}
    bias = put_bias(site, weight.shape[0], give)
    if op.groups > 1 and weight.shape[1] == 1:
        filters = put_weight(site, weight[give].transpose(1, 2, 3, 0), give, 3)
        options["depth_multiplier"] = weight.shape[0] // op.groups
        table, code = "DepthwiseConv2DOptions", BuiltinOperator.DEPTHWISE_CONV_2D
    else:
        columns = read if op.groups == 1 else np.arange(weight.shape[1])
        filters = put_weight(site, weight[give][:, columns].transpose(0, 2, 3, 1), give, 0)
        table, code = "Conv2DOptions", BuiltinOperator.CONV_2D
    site.write(code, [x, filters, bias], options=Options(table, {**options}))
