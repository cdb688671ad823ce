"""GATHER."""

from __future__ import annotations

import numpy as np

from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.element_types import quantization, tensor_type
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.movement import place
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import ops


@emits(ops.Gather)
def gather(site: Site, op: ops.Gather) -> None:
    """Of a table in integers beside float activations, the rows that are read are expanded, not the table."""
    table, index = site.node.input(0), site.node.input(1)
    axis = place(site.input_form(0), op.axis)
    options = Options("GatherOptions", {"axis": axis})
    which = site.sheet.constant(values_of(index).astype(np.int32)) if index.is_constant else site.read(1)
    x = site.read(0)
    if not (table.is_constant and table.quant is not None and not site.is_integer):
        site.write(Op.GATHER, [x, which], options=options)
    elif table.quant.axis is not None:
        site.write(Op.GATHER, [site.to.dequantized(x), which], options=options)
    else:
        kind = tensor_type(table.type.dtype, table.quant)
        rows = site.new(site.form.physical, kind, quantization(table.quant))
        site.write(Op.GATHER, [x, which], [rows], options)
        site.write(Op.DEQUANTIZE, [rows], options=Options("DequantizeOptions"))
