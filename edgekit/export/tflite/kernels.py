"""Element types and ranks that kernels of LiteRT and of tflite-runtime 2.14 do not take, though the operator's schema allows
them.

Found by running every operator with every type in both, and with tensors of seven dimensions. A file that asks for one of
them is refused when it is loaded, with the name of a kernel that says nothing about the model.
"""

from __future__ import annotations

from edgekit.errors import Unsupported
from edgekit.export.refusals import Refusals
from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType

_OP = BuiltinOperator
_INTEGERS = frozenset({TensorType.INT32, TensorType.INT64})
_BOOL = frozenset({TensorType.BOOL})

_FLOAT_ONLY = (
    *(_OP.EXP, _OP.LOG, _OP.SQRT, _OP.RSQRT, _OP.SIN, _OP.COS, _OP.LOGISTIC, _OP.TANH, _OP.ELU, _OP.GELU),
    *(_OP.HARD_SWISH, _OP.LEAKY_RELU, _OP.PRELU, _OP.SOFTMAX, _OP.LOG_SOFTMAX, _OP.MEAN, _OP.AVERAGE_POOL_2D),
    *(_OP.MAX_POOL_2D, _OP.CONV_2D, _OP.DEPTHWISE_CONV_2D, _OP.TRANSPOSE_CONV, _OP.FULLY_CONNECTED),
    *(_OP.BATCH_MATMUL, _OP.RESIZE_BILINEAR, _OP.RESIZE_NEAREST_NEIGHBOR),
)

#: Operator -> types of its data that its kernels refuse. Only what is neither float nor quantised is looked up here.
REFUSED: dict[BuiltinOperator, frozenset[TensorType]] = {
    _OP.ARG_MAX: frozenset({TensorType.INT64, TensorType.BOOL}),
    _OP.FLOOR_DIV: frozenset({TensorType.INT64}),
    _OP.POW: _INTEGERS,
    _OP.SPLIT: frozenset({TensorType.INT64, TensorType.BOOL}),
    _OP.SPLIT_V: _BOOL,
    _OP.PAD: _BOOL,
    _OP.PADV2: _BOOL,
    _OP.REDUCE_MAX: _BOOL,
    _OP.REDUCE_MIN: _BOOL,
    _OP.MAXIMUM: _BOOL,
    _OP.MINIMUM: _BOOL,
    _OP.SQUARED_DIFFERENCE: frozenset({TensorType.INT64}),
    _OP.MUL: _BOOL,
    _OP.ADD: _BOOL,
    **dict.fromkeys(_FLOAT_ONLY, _INTEGERS | _BOOL),
}

#: Operators that XNNPACK claims and then fails to prepare with more dimensions than this, or whose own kernels end here.
_MOST_DIMENSIONS = 6
_RANKED = frozenset(
    {
        *(_OP.CONCATENATION, _OP.MEAN, _OP.SUM, _OP.REDUCE_MAX, _OP.REDUCE_MIN, _OP.PAD, _OP.PADV2, _OP.MIRROR_PAD),
        *(_OP.SOFTMAX, _OP.FULLY_CONNECTED, _OP.SPLIT, _OP.SPLIT_V, _OP.BATCH_MATMUL),
    }
)

#: Where the data stands, if it is not the first input.
_DATA: dict[BuiltinOperator, int] = {_OP.SPLIT: 1, _OP.TRANSPOSE_CONV: 2}


def check(sheet: Sheet) -> None:
    """Refuse what no kernel takes.

    Raises:
        Unsupported: an element type or a rank; all places are named together.
    """
    refusals = Refusals()
    for operator, node in sheet.written_for():
        tensor = sheet.tensors[operator.inputs[_DATA.get(operator.code, 0)]]
        with refusals.at(node):
            if tensor.quantization is None and tensor.type in REFUSED.get(operator.code, frozenset()):
                raise Unsupported(
                    f"TFLite's {operator.name} takes no {tensor.type.name.lower()}",
                    hint="compute it in float32 or, for indices, in int32: x.to(torch.int32)",
                )
            shapes = [tensor.shape, *(sheet.tensors[index].shape for index in operator.outputs)]
            if operator.code in _RANKED and max(map(len, shapes)) > _MOST_DIMENSIONS:
                raise Unsupported(
                    f"TFLite's {operator.code.name} takes no tensor of {max(map(len, shapes))} dimensions",
                    hint=f"merge some of them around it: view(...) to {_MOST_DIMENSIONS} or fewer",
                )
    refusals.raise_if_any("{count} things in this model cannot be written for TFLite")
