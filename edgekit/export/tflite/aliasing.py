"""A guard against tensors that LiteRT 2.x overwrites while they are still needed.

Its memory planner lets RESHAPE share its input's memory, and ADD, SUB, MUL, DIV and SOFTMAX write over their input if
nothing else reads that. For a chain ``R -> T -> U -> V`` of such operators it looks at the readers of U and of R, but
not at those of T in between: if T is read again later, V has overwritten it. XNNPACK plans its own memory; the kernels
without a delegate, and those of types that no delegate takes, compute wrong numbers without an error (seen in 2.3).

A copy between U and V breaks the chain.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.schema_generated import BuiltinOperator

_OP = BuiltinOperator

#: Kernels that may write their result over an input.
_OVERWRITING = frozenset({_OP.ADD, _OP.SUB, _OP.MUL, _OP.DIV, _OP.SOFTMAX, _OP.LOG_SOFTMAX, _OP.DYNAMIC_UPDATE_SLICE})


def guard(sheet: Sheet) -> int:
    """Put a copy behind every RESHAPE whose result is overwritten although its input is needed; how many there were."""
    producers = {index: operator for operator in sheet.operators for index in operator.outputs}
    readers: dict[int, list[int]] = defaultdict(list)
    for place, operator in enumerate(sheet.operators):
        for index in operator.inputs:
            readers[index].append(place)
    found = []
    for place, operator in enumerate(sheet.operators):
        if operator.code != _OP.RESHAPE:
            continue
        source, result = operator.inputs[0], operator.outputs[0]
        before = producers.get(source)
        shares = before is not None and (before.code in _OVERWRITING or before.code == _OP.RESHAPE)
        after = readers[result]
        overwritten = len(after) == 1 and sheet.operators[after[0]].code in _OVERWRITING
        if shares and overwritten and max(readers[source]) > after[0]:
            found.append((place, after[0], result))
    for place, after_place, result in sorted(found, reverse=True):
        _copy_behind(sheet, place, after_place, result)
    return len(found)


def _copy_behind(sheet: Sheet, place: int, reader: int, tensor: int) -> None:
    """The reader reads a tensor of its own."""
    operator, copy = sheet.operators[reader], sheet.copied(tensor, at=place + 1)
    sheet.operators[reader + 1] = replace(operator, inputs=tuple(copy if i == tensor else i for i in operator.inputs))
