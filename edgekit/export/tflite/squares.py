"""A guard against XNNPACK's product of a transposed tensor with itself.

LiteRT 2.3's XNNPACK takes a TRANSPOSE of the second factor into BATCH_MATMUL. Where the first factor is the same tensor, it
reads that untransposed too, and computes wrong numbers without an error; two tensors, or one that no TRANSPOSE made, are
right. A copy for the second factor keeps them apart.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.schema_generated import BuiltinOperator

_OP = BuiltinOperator


def separate_factors(sheet: Sheet) -> int:
    """Give every such product a copy to read; how many there were."""
    transposed = {operator.outputs[0] for operator in sheet.operators if operator.code == _OP.TRANSPOSE}
    squares = [
        place
        for place, operator in enumerate(sheet.operators)
        if operator.code == _OP.BATCH_MATMUL and operator.inputs[0] == operator.inputs[1] and operator.inputs[0] in transposed
    ]
    for place in reversed(squares):
        operator = sheet.operators[place]
        copy = sheet.copied(operator.inputs[1], at=place)
        sheet.operators[place + 1] = replace(operator, inputs=(operator.inputs[0], copy))
    return len(squares)
