"""TRANSPOSE_CONV."""

from __future__ import annotations

import numpy as np

from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.fused import finish
from edgekit.export.tflite.emitters.joining import join
from edgekit.export.tflite.emitters.weights import Array, constant_weight, put_bias
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator, Padding
from edgekit.ir import QuantParams, ops


@emits(ops.ConvTranspose1d)
def conv_transpose1d(site: Site, op: ops.ConvTranspose1d) -> None:
    """Height 1: the weight (I, O, K) is (I, O, 1, K)."""
    weight = values_of(constant_weight(site))[:, :, None, :]
    image = ops.ConvTranspose2d(
        stride=(1, *op.stride),
        padding=(0, *op.padding),
        output_padding=(0, *op.output_padding),
        dilation=(1, *op.dilation),
        groups=op.groups,
        activation=op.activation,
    )
    _transposed(site, image, weight)


@emits(ops.ConvTranspose2d)
def conv_transpose2d(site: Site, op: ops.ConvTranspose2d) -> None:
    """The weight (I, O, H, W) becomes (O, H, W, I)."""
    _transposed(site, op, values_of(constant_weight(site)))


def _transposed(site: Site, op: ops.ConvTranspose2d, weight: Array) -> None:
    """Write a transposed convolution whose input and output are (N, H, W, C) in the file.

    TFLite's kernel crops like TensorFlow's gradient of a SAME convolution, or not at all. Where torch's padding is
    neither, the whole result is computed and its edges are cut off. Groups are computed one by one.
    """
    weight = _dilated(weight, op.dilation)
    x, out = site.read(), site.form.physical
    size = site.sheet.tensors[x].shape
    kernel = weight.shape[2:]
    spans = list(zip(size[1:3], out[1:3], kernel, op.stride, op.padding, strict=True))
    padding, low = Padding.VALID, op.padding
    whole = [max((n - 1) * s + k, p + o) for n, o, k, s, p in spans]
    if all(-(-o // s) == n and max((n - 1) * s + k - o, 0) // 2 == p for n, o, k, s, p in spans):
        padding, whole, low = Padding.SAME, list(out[1:3]), (0, 0)
    elif all(p == 0 and o == (n - 1) * s + k for n, o, k, s, p in spans):
        low = (0, 0)
    exact = list(whole) == list(out[1:3])
    plain = exact and op.activation == "none"
    result = site.give()
    shape = (out[0], *whole, out[3])
    target = result if plain else site.new_like(result, shape)
    if op.groups == 1:
        _one(site, x, weight, np.arange(weight.shape[1]), op, padding, target)
    else:
        _groups(site, x, weight, op, padding, target)
    if not exact:
        cut = result if op.activation == "none" else site.new_like(result, out)
        begin, extent = site.sheet.ints((0, *low, 0)), site.sheet.ints(out)
        site.write(BuiltinOperator.SLICE, [target, begin, extent], [cut], Options("SliceOptions"))
        target = cut
    finish(site, op.activation, target)


def _dilated(weight: Array, dilation: tuple[int, ...]) -> Array:
    """The kernel with zeros between its elements: the same function without dilation, which TFLite's kernel lacks."""
    if all(step == 1 for step in dilation):
        return weight
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    out = np.zeros((*weight.shape[:2], *reach), weight.dtype)
    out[:, :, :: dilation[0], :: dilation[1]] = weight
    return out


def _one(
    site: Site,
    x: int,
    weight: Array,
    channels: np.ndarray[tuple[int], np.dtype[np.int64]],
    op: ops.ConvTranspose2d,
    padding: Padding,
    out: int,
) -> None:
    """One transposed convolution that gives some of the node's output channels, those of one group."""
    quant = site.node.input(1).quant
    if quant is not None and quant.axis is not None:
        quant = QuantParams(quant.dtype, quant.scale, quant.zero_point, 0, quant.narrow)
    filters = site.to.array(weight.transpose(1, 2, 3, 0), quant, 0)  # the groups share their scales
    count = site.form.shape[1]
    bias = put_bias(site, count, channels)
    shape = site.sheet.ints(site.sheet.tensors[out].shape)
    options = Options("TransposeConvOptions", {"padding": padding, "stride_h": op.stride[0], "stride_w": op.stride[1]})
    site.write(BuiltinOperator.TRANSPOSE_CONV, [shape, filters, x, bias], [out], options)


def _groups(site: Site, x: int, weight: Array, op: ops.ConvTranspose2d, padding: Padding, out: int) -> None:
    """SPLIT, one transposed convolution a group, CONCATENATION."""
    size, shape = site.sheet.tensors[x].shape, site.sheet.tensors[out].shape
    inside, outside = size[3] // op.groups, shape[3] // op.groups
    parts = [site.new_like(x, (*size[:3], inside)) for _ in range(op.groups)]
    axis = site.sheet.constant(np.array(3, np.int32))
    site.write(BuiltinOperator.SPLIT, [axis, x], parts, Options("SplitOptions", {"num_splits": op.groups}))
    results = []
    for group, part in enumerate(parts):
        results.append(site.new_like(out, (*shape[:3], outside)))
        channels = np.arange(group * outside, (group + 1) * outside)
        _one(site, part, weight[group * inside : (group + 1) * inside], channels, op, padding, results[-1])
    join(site, results, out, 3)
