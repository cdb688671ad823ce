"""Reductions."""

from __future__ import annotations

import numpy as np

from edgekit.export.tflite.element_types import tensor_type
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.elementwise import as_type
from edgekit.export.tflite.emitters.movement import place
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import ops
from edgekit.ir.ops.base import Op as GraphOp

_CODES: dict[type[GraphOp], Op] = {
    ops.Mean: Op.MEAN,
    ops.Sum: Op.SUM,
    ops.Amax: Op.REDUCE_MAX,
    ops.Amin: Op.REDUCE_MIN,
}


@emits(*_CODES)
def reduce(site: Site, op: ops.Mean | ops.Sum | ops.Amax | ops.Amin) -> None:
    """Over the physical axes of the node's axes; axes of size 1 that only the form has go with them."""
    form = site.input_form(0)
    axes = sorted(place(form, axis) for axis in op.axes)
    if not op.keepdim:
        axes = sorted({*axes, *(index for index, parts in enumerate(form.axes) if not parts)})
    options = Options("ReducerOptions", {"keep_dims": True} if op.keepdim else {})
    x = as_type(site, site.read(), tensor_type(site.node.output.type.dtype, site.node.output.quant))
    site.write(_CODES[type(op)], [x, site.sheet.ints(axes)], options=options)


@emits(ops.Argmax)
def argmax(site: Site, op: ops.Argmax) -> None:
    """ARG_MAX: the first of equal elements wins, as in torch."""
    form = site.input_form(0)
    where = place(form, op.axis % len(form.shape))
    x, axis = site.read(), site.sheet.constant(np.array(where, np.int32))
    options = Options("ArgMaxOptions", {"output_type": int(tensor_type(site.node.output.type.dtype))})
    out = site.give()
    if not op.keepdim:
        site.write(Op.ARG_MAX, [x, axis], [out], options)
        return
    shape = site.sheet.tensors[out].shape
    flat = site.new_like(out, [size for index, size in enumerate(shape) if index != where])
    site.write(Op.ARG_MAX, [x, axis], [flat], options)
    site.to.reshape(flat, out)


@emits(ops.Cumsum)
def cumsum(site: Site, op: ops.Cumsum) -> None:
    """CUMSUM."""
    where = place(site.form, op.axis % len(site.form.shape))
    axis = site.sheet.constant(np.array(where, np.int32))
    x = as_type(site, site.read(), tensor_type(site.node.output.type.dtype))
    site.write(Op.CUMSUM, [x, axis], options=Options("CumsumOptions"))
