"""QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.constants import quantization_of
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import ops


@lowers(Op.QUANTIZE)
def quantize(ctx: Lowering, x: Held) -> Result:
    """To integers, or to integers of other parameters; nothing where they are the same (int8 to uint8)."""
    wanted = quantization_of(ctx.tensors[ctx.operator.outputs[0]])
    if wanted is None:
        raise ctx.damaged("its result is not quantised")
    if ctx.is_known(x.value):
        made = ctx.constant(x.value.tensor, "quantized")
        made.quant = wanted
        return Held(made, x.order)
    return x if x.value.quant == wanted else Held(ctx.add(ops.Identity(), x.value), x.order)


@lowers(Op.DEQUANTIZE)
def dequantize(ctx: Lowering, x: Held) -> Result:
    """To float. Of a constant (weights stored in 16 or 8 bits) it is the constant itself."""
    if ctx.is_known(x.value):
        if x.value.type.is_float and x.value.quant is not None:
            return x
        made = ctx.constant(x.value.tensor.float(), "dequantized")
        return Held(made, x.order)
    if not x.value.type.is_float:
        raise ctx.damaged(f"its input is {x.value.type}, without parameters")
    made = ctx.add_node(ops.Identity(), x.value).output
    made.quant = None
    return Held(made, x.order)


@lowers(Op.DENSIFY)
def densify(ctx: Lowering, x: Held) -> Result:
    """A sparse constant is spread out when it is read."""
    return x
