"""Signs of binary networks. SIGN gives 0 for 0, so they are a comparison and a choice."""

from __future__ import annotations

import numpy as np

from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.ir import ops
from edgekit.ir.quantized_data import storage_dtype


@emits(ops.BinarySign)
def binary_sign(site: Site, op: ops.BinarySign) -> None:
    """GREATER_EQUAL and SELECT_V2 of +1 and -1, on floats or on integers alike."""
    x, before, after = site.read(), site.node.input(0).quant, site.node.output.quant
    kind = np.dtype(np.float32) if after is None else np.dtype(str(storage_dtype(after)).removeprefix("torch."))
    zero = np.full((1,), 0 if before is None else before.zero_point[0], kind)
    plus, minus = (np.full((1,), sign if after is None else after.zero_point[0] + sign, kind) for sign in (1, -1))
    is_plus = site.new(site.form.physical, TensorType.BOOL)
    site.write(Op.GREATER_EQUAL, [x, site.to.array(zero, before)], [is_plus], Options("GreaterEqualOptions"))
    signs = [site.to.array(plus, after), site.to.array(minus, after)]
    site.write(Op.SELECT_V2, [is_plus, *signs], options=Options("SelectV2Options"))
