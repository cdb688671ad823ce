"""Emitters that differ in files for Larq Compute Engine; what does not fit its operators is written as for LiteRT."""

from __future__ import annotations

import numpy as np

from edgekit.export.tflite.constants import order_along, values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters import convolution, linear, movement, pooling
from edgekit.export.tflite.emitters.padding import plan
from edgekit.export.tflite.larq import between
from edgekit.export.tflite.larq.bits import WORD, encoded
from edgekit.export.tflite.larq.fit import is_mirrored, mirrored, why_not, windows_of
from edgekit.export.tflite.larq.layer import Layer, write_layer
from edgekit.export.tflite.layout.form import reshaped
from edgekit.export.tflite.registry import Emitter
from edgekit.formats.tflite.schema_generated import Padding
from edgekit.ir import ops
from edgekit.ir.ops import Op
from edgekit.ir.signs import are_signs


def convolve(site: Site, op: ops.Conv1d | ops.Conv2d) -> None:
    """LceBconv2d; axes that pad otherwise than TensorFlow's SAME are reversed before and behind it."""
    if why_not(site.node, site.to.batch) is not None:
        (convolution.conv1d if isinstance(op, ops.Conv1d) else convolution.conv2d)(site, op)
        return
    read, give = order_along(site.input_form(0), 1), order_along(site.form, 1)
    weight = values_of(site.node.input(1))[give][:, read]
    if isinstance(op, ops.Conv1d):
        weight = weight[:, :, None, :]
    windows = windows_of(site.node, site.to.batch)
    turned = [] if all(w.is_valid for w in windows) else [axis for axis, w in enumerate(windows) if is_mirrored(w)]
    windows = [mirrored(w) if axis in turned else w for axis, w in enumerate(windows)]
    padding = plan(windows).padding
    stride, dilation = ((1, *op.stride)[-2:], (1, *op.dilation)[-2:])
    layer = Layer(
        np.flip(weight, tuple(2 + axis for axis in turned)), give, padding, stride, dilation, any(w.needed > 0 for w in windows)
    )
    bits = between.reversed_axes(site, between.packed(site), turned)
    write_layer(site, layer, bits, turned)


def multiply(site: Site, op: ops.Linear) -> None:
    """A linear layer is a 1x1 convolution of one pixel."""
    if why_not(site.node, site.to.batch) is not None:
        linear.linear(site, op)
        return
    read, give = order_along(site.input_form(0), 1), order_along(site.form, 1)
    weight = values_of(site.node.input(1))[give][:, read][:, :, None, None]
    write_layer(site, Layer(weight, give, Padding.VALID, (1, 1), (1, 1), False), between.packed_vector(site), [])


def pool(site: Site, op: ops.MaxPool1d | ops.MaxPool2d) -> None:
    """LceBMaxPool2d where the signs are packed already: the largest of signs is an AND of their bits."""
    value, form = site.node.input(0), site.input_form(0)
    bits = site.to.packed.get((id(value), form))
    if bits is None or len(form.physical) != 4:
        pooling.max_pool(site, op)
        return
    windows = pooling.windows_over(site, form.physical, op)
    chosen = plan(windows)
    if chosen.before is not None:
        pooling.max_pool(site, op)
        return
    rows, columns = windows
    options = {
        "padding": int(chosen.padding),
        "stride_height": rows.stride,
        "stride_width": columns.stride,
        "filter_height": rows.reach,
        "filter_width": columns.reach,
    }
    shape = (*site.form.physical[:3], site.sheet.tensors[bits].shape[3])
    out = between.new(site, shape)
    site.sheet.custom("LceBMaxPool2d", [bits], [out], encoded(options))
    between.give(site, out)


def sign(site: Site, op: ops.BinarySign) -> None:
    """LceQuantize, which gives +1 from the zero point on."""
    out = between.quantized(site, site.read())
    between.give(site, out)


def move(site: Site, op: ops.Reshape | ops.Permute) -> None:
    """Packed signs are flattened as they are where every word is full; all else moves as 8-bit integers."""
    before = site.input_form(0)
    bits = site.to.packed.get((id(site.node.input(0)), before))
    still = reshaped(before, site.form.shape) if isinstance(op, ops.Reshape) else None
    in_place = still is not None and still == site.form
    if (
        bits is None
        or not in_place
        or not are_signs(site.node.output)
        or before.physical[-1] % WORD
        or site.form.physical[-1] % WORD
    ):
        movement.move(site, op)
        return
    shape = (*site.form.physical[:-1], site.form.physical[-1] // WORD)
    between.give(site, between.shaped(site, bits, shape))


#: By class of op, in the place of the emitters for LiteRT.
EMITTERS: dict[type[Op], Emitter] = {
    ops.Conv1d: convolve,
    ops.Conv2d: convolve,
    ops.Linear: multiply,
    ops.MaxPool1d: pool,
    ops.MaxPool2d: pool,
    ops.BinarySign: sign,
    ops.Reshape: move,
}
