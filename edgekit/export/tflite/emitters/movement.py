"""Ops that move elements: reshape, permute, concatenate, split, slice, pad, repeat, reverse."""

from __future__ import annotations

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.tflite.element_types import tensor_type
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.elementwise import as_type
from edgekit.export.tflite.emitters.joining import join
from edgekit.export.tflite.emitters.padding import write_pad
from edgekit.export.tflite.layout.form import Form, permuted, reshaped
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import MirrorPadMode, TensorType
from edgekit.ir import ops
from edgekit.ir.types import Batch


@emits(ops.Reshape, ops.Permute)
def move(site: Site, op: ops.Reshape | ops.Permute) -> None:
    """Nothing where the elements stand in the right order already, else what brings them there."""
    before = site.input_form(0)
    still = permuted(before, op.dims) if isinstance(op, ops.Permute) else reshaped(before, site.form.shape)
    site.alias(site.to.move(site.read(), site.node.output, still or before, site.form))


def place(form: Form, axis: int) -> int:
    """The physical axis of a logical one; the assignment chose forms that have it."""
    found = form.position(axis)
    assert found is not None, (form, axis)
    return found


@emits(ops.Concat)
def concat(site: Site, op: ops.Concat) -> None:
    """CONCATENATION."""
    tensors = []
    for index, value in enumerate(site.node.inputs):
        if value is not None and value.is_constant:
            form = site.form.resized(site.shape(index))
            assert form is not None
            tensors.append(site.to.tensor(value, form))
        else:
            tensors.append(site.read(index))
    if not site.is_integer:
        tensors = [as_type(site, tensor, tensor_type(site.node.output.type.dtype)) for tensor in tensors]
    join(site, tensors, site.give(), place(site.form, op.axis))


@emits(ops.Split)
def split(site: Site, op: ops.Split) -> None:
    """SPLIT into equal parts, SPLIT_V into others."""
    x = site.read()
    axis = site.sheet.constant(np.array(place(site.input_form(0), op.axis), np.int32))
    outputs = [site.give(index) for index in range(len(op.sizes))]
    if len(set(op.sizes)) == 1 and site.sheet.tensors[x].type != TensorType.INT64:  # older kernels lack that one
        site.write(Op.SPLIT, [axis, x], outputs, Options("SplitOptions", {"num_splits": len(op.sizes)}))
    else:
        sizes = site.sheet.ints(op.sizes)
        site.write(Op.SPLIT_V, [x, sizes, axis], outputs, Options("SplitVOptions", {"num_splits": len(op.sizes)}))


@emits(ops.Slice)
def cut(site: Site, op: ops.Slice) -> None:
    """SLICE, or STRIDED_SLICE where steps are larger than 1."""
    form, shape = site.input_form(0), site.shape(0)
    begin, end, steps = [0] * len(form.axes), list(form.physical), [1] * len(form.axes)
    for axis, (start, stop, step) in enumerate(zip(op.starts, op.stops, op.steps, strict=True)):
        last = stop.multiple * site.to.batch if isinstance(stop, Batch) else min(stop, shape[axis])
        if (start, last, step) == (0, shape[axis], 1):
            continue
        where = place(form, axis)
        begin[where], end[where], steps[where] = start, last, step
    x = site.read()
    if all(step == 1 for step in steps):
        sizes = [last - first for first, last in zip(begin, end, strict=True)]
        site.write(Op.SLICE, [x, site.sheet.ints(begin), site.sheet.ints(sizes)], options=Options("SliceOptions"))
    else:
        inputs = [x, *(site.sheet.ints(values) for values in (begin, end, steps))]
        site.write(Op.STRIDED_SLICE, inputs, options=Options("StridedSliceOptions"))


@emits(ops.Pad)
def pad(site: Site, op: ops.Pad) -> None:
    """PAD, PADV2 or MIRROR_PAD; `legalize` has written replication with gathers."""
    form = site.form
    pads = [(0, 0)] * len(form.axes)
    for axis, pair in enumerate(op.pads):
        if pair != (0, 0):
            pads[place(form, axis)] = pair
    if any(size < 0 for pair in pads for size in pair):
        raise Unsupported("negative padding", hint="slice the input instead: x[..., n:]")
    x = site.read()
    if op.mode == "reflect":
        paddings = site.sheet.constant(np.array(pads, np.int32))
        site.write(Op.MIRROR_PAD, [x, paddings], options=Options("MirrorPadOptions", {"mode": MirrorPadMode.REFLECT}))
        return
    value: float | None = None
    if op.value != 0.0:
        value, quant = op.value, site.node.output.quant
        if quant is not None:
            low, high = quant.range
            value = round(min(max(op.value, low), high) / quant.scale[0]) + quant.zero_point[0]
        elif np.isinf(op.value):
            value = float(np.copysign(np.finfo(np.float32).max, value))
    write_pad(site, x, pads, site.give(), value)


@emits(ops.Expand)
def expand(site: Site, op: ops.Expand) -> None:
    """BROADCAST_TO."""
    shape = site.sheet.ints(site.form.physical)
    site.write(Op.BROADCAST_TO, [site.read(), shape], options=Options("BroadcastToOptions"))


@emits(ops.Tile)
def tile(site: Site, op: ops.Tile) -> None:
    """TILE; TFLite Micro and, in 8 bits, LiteRT's reference kernels lack it: there copies are joined."""
    x = site.read()
    before, after = site.sheet.tensors[x].shape, site.form.physical
    padded = (*[1] * (len(after) - len(before)), *before)
    if padded != before:
        longer = site.new_like(x, padded)
        site.to.reshape(x, longer)
        x = longer
    repeats = [new // old for new, old in zip(after, padded, strict=True)]
    if site.to.micro or site.is_integer:
        _joined_copies(site, x, repeats)
    else:
        site.write(Op.TILE, [x, site.sheet.ints(repeats)], options=Options("TileOptions"))


def _joined_copies(site: Site, x: int, repeats: list[int]) -> None:
    """One CONCATENATION for each axis that repeats."""
    axes = [axis for axis, count in enumerate(repeats) if count > 1]
    shape, out = list(site.sheet.tensors[x].shape), site.give()
    for axis in axes:
        shape[axis] *= repeats[axis]
        result = out if axis == axes[-1] else site.new_like(x, shape)
        join(site, [x] * repeats[axis], result, axis)
        x = result
    if not axes:
        site.to.reshape(x, out)


@emits(ops.Flip)
def flip(site: Site, op: ops.Flip) -> None:
    """REVERSE_V2, which reverses neighbouring axes; one operator an axis works in every runtime."""
    x, out = site.read(), site.give()
    for index, axis in enumerate(op.axes):
        result = out if index == len(op.axes) - 1 else site.new_like(out, site.form.physical)
        which = site.sheet.ints([place(site.form, axis)])
        site.write(Op.REVERSE_V2, [x, which], [result], Options("ReverseV2Options"))
        x = result
