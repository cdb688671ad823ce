"""Whether an exit is sure enough, in float: integers are dequantised first, so all kernels decide on the same numbers."""

from __future__ import annotations

import math

import numpy as np

from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.ir import ops


def passes(sheet: Sheet, logits: int, op: ops.ChooseExit, index: int) -> int:
    """A bool tensor (batch, 1): ``op.passes`` of the logits (batch, classes) of exit ``index``."""
    if sheet.tensors[logits].type != TensorType.FLOAT32:
        logits = _new(sheet, Op.DEQUANTIZE, [logits], sheet.tensors[logits].shape, Options("DequantizeOptions"))
    score, limit = _SCORES[op.score](sheet, logits, op.temperatures[index], op.thresholds[index])
    shape = sheet.tensors[score].shape
    goes = sheet.activation(shape, TensorType.BOOL)
    bound = sheet.constant(np.array([limit], np.float32))
    sheet.operator(Op.GREATER, [score, bound], [goes], Options("GreaterOptions"))
    return goes


def _new(sheet: Sheet, code: Op, inputs: list[int], shape: tuple[int, ...], options: Options | None = None) -> int:
    out = sheet.activation(shape, TensorType.FLOAT32)
    sheet.operator(code, inputs, [out], options)
    return out


def _reduced(sheet: Sheet, code: Op, x: int) -> int:
    """Over the classes, which stay as an axis of size 1."""
    shape = (*sheet.tensors[x].shape[:-1], 1)
    return _new(sheet, code, [x, sheet.ints([len(shape) - 1])], shape, Options("ReducerOptions", {"keep_dims": True}))


def _probabilities(sheet: Sheet, logits: int, temperature: float) -> int:
    options = Options("SoftmaxOptions", {"beta": 1.0 / temperature})
    return _new(sheet, Op.SOFTMAX, [logits], sheet.tensors[logits].shape, options)


def _confidence(sheet: Sheet, logits: int, temperature: float, threshold: float) -> tuple[int, float]:
    """The largest probability."""
    return _reduced(sheet, Op.REDUCE_MAX, _probabilities(sheet, logits, temperature)), threshold


def _margin(sheet: Sheet, logits: int, temperature: float, threshold: float) -> tuple[int, float]:
    """The largest probability minus the largest of the others. TOPK_V2 would do, but TFLite Micro lacks it."""
    p = _probabilities(sheet, logits, temperature)
    shape = sheet.tensors[p].shape
    best = _reduced(sheet, Op.REDUCE_MAX, p)
    which = sheet.activation(shape[:-1], TensorType.INT32)
    axis = sheet.constant(np.array(len(shape) - 1, np.int32))
    sheet.operator(Op.ARG_MAX, [p, axis], [which], Options("ArgMaxOptions", {"output_type": int(TensorType.INT32)}))
    column = sheet.activation((*shape[:-1], 1), TensorType.INT32)
    sheet.operator(Op.RESHAPE, [which, sheet.ints((*shape[:-1], 1))], [column], Options("ReshapeOptions"))
    is_best = sheet.activation(shape, TensorType.BOOL)
    classes = sheet.constant(np.arange(shape[-1], dtype=np.int32)[None])
    sheet.operator(Op.EQUAL, [column, classes], [is_best], Options("EqualOptions"))
    nothing = sheet.constant(np.zeros((1, 1), np.float32))
    others = _new(sheet, Op.SELECT_V2, [is_best, nothing, p], shape, Options("SelectV2Options"))
    second = _reduced(sheet, Op.REDUCE_MAX, others)
    return _new(sheet, Op.SUB, [best, second], sheet.tensors[best].shape, Options("SubOptions")), threshold


def _entropy(sheet: Sheet, logits: int, temperature: float, threshold: float) -> tuple[int, float]:
    """sum p log p, which is (certainty - 1) log(classes)."""
    shape = sheet.tensors[logits].shape
    if temperature != 1.0:
        factor = sheet.constant(np.array([1.0 / temperature], np.float32))
        logits = _new(sheet, Op.MUL, [logits, factor], shape, Options("MulOptions"))
    logs = _new(sheet, Op.LOG_SOFTMAX, [logits], shape, Options("LogSoftmaxOptions"))
    p = _new(sheet, Op.EXP, [logs], shape, Options("ExpOptions"))
    terms = _new(sheet, Op.MUL, [p, logs], shape, Options("MulOptions"))
    return _reduced(sheet, Op.SUM, terms), (threshold - 1.0) * math.log(shape[-1])


_SCORES = {"confidence": _confidence, "entropy": _entropy, "margin": _margin}
