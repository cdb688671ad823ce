"""What TFLite Micro can run: checked before a file for it is written, because it says so late, or not at all."""

from __future__ import annotations

from edgekit.errors import Unsupported
from edgekit.export.refusals import Refusals
from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType

_OP = BuiltinOperator

#: Operators that TFLite Micro has (its Python runtime registers all of them), as far as the exporter writes them.
OPERATORS: frozenset[BuiltinOperator] = frozenset(
    {
        *(_OP.ABS, _OP.ADD, _OP.ARG_MAX, _OP.AVERAGE_POOL_2D, _OP.BATCH_MATMUL, _OP.BROADCAST_TO, _OP.CAST, _OP.CEIL),
        *(_OP.CONCATENATION, _OP.CONV_2D, _OP.COS, _OP.CUMSUM, _OP.DEPTH_TO_SPACE, _OP.DEPTHWISE_CONV_2D, _OP.DEQUANTIZE),
        *(_OP.DIV, _OP.ELU, _OP.EQUAL, _OP.EXP, _OP.FLOOR, _OP.FLOOR_DIV, _OP.FLOOR_MOD, _OP.FULLY_CONNECTED, _OP.GATHER),
        *(_OP.GREATER, _OP.GREATER_EQUAL, _OP.HARD_SWISH, _OP.IF, _OP.LEAKY_RELU, _OP.LESS, _OP.LESS_EQUAL, _OP.LOG),
        *(_OP.LOG_SOFTMAX, _OP.LOGICAL_AND, _OP.LOGICAL_NOT, _OP.LOGICAL_OR, _OP.LOGISTIC, _OP.MAX_POOL_2D, _OP.MAXIMUM),
        *(_OP.MEAN, _OP.MINIMUM, _OP.MIRROR_PAD, _OP.MUL, _OP.NEG, _OP.NOT_EQUAL, _OP.PAD, _OP.PADV2, _OP.PRELU),
        *(_OP.QUANTIZE, _OP.REDUCE_MAX, _OP.REDUCE_MIN, _OP.RELU, _OP.RELU6, _OP.RESHAPE, _OP.RESIZE_BILINEAR),
        *(_OP.RESIZE_NEAREST_NEIGHBOR, _OP.REVERSE_V2, _OP.ROUND, _OP.RSQRT, _OP.SELECT_V2, _OP.SIN, _OP.SLICE),
        *(_OP.SOFTMAX, _OP.SPACE_TO_DEPTH, _OP.SPLIT, _OP.SPLIT_V, _OP.SQRT, _OP.SQUARE, _OP.SQUARED_DIFFERENCE),
        *(_OP.STRIDED_SLICE, _OP.SUB, _OP.SUM, _OP.TANH, _OP.TRANSPOSE, _OP.TRANSPOSE_CONV),
        *(_OP.UNIDIRECTIONAL_SEQUENCE_LSTM, _OP.WHILE),
    }
)

#: Element types that its kernels take.
_TYPES = frozenset({TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT16, TensorType.INT32, TensorType.BOOL})

#: Kernels that have a form for weights in integers beside float activations in LiteRT, but not here.
_WEIGHTED = frozenset({_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D, _OP.FULLY_CONNECTED, _OP.TRANSPOSE_CONV})


#: Kernels that take floats here, but 8-bit integers in LiteRT.
_FLOAT_ONLY = frozenset({_OP.EXP, _OP.LOG})


def check(sheet: Sheet) -> None:
    """Refuse what TFLite Micro lacks.

    Raises:
        Unsupported: an operator, an element type or a combination of them; all are named together.
    """
    refusals = Refusals()
    for operator, node in sheet.written_for():
        tensors = [sheet.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
        with refusals.at(node):
            if operator.code not in OPERATORS:
                raise Unsupported(
                    f"TFLite Micro has no operator {operator.name}", hint="use another layer, or the target tflite-int8"
                )
            known = _TYPES | {TensorType.INT64} if operator.code in _WEIGHTED else _TYPES  # biases beside 16-bit activations
            foreign = sorted({tensor.type.name.lower() for tensor in tensors if tensor.type not in known})
            if foreign:
                raise Unsupported(
                    f"TFLite Micro's {operator.name} takes no {' and no '.join(foreign)}",
                    hint="convert indices to int32 in the model: index.to(torch.int32)",
                )
            types = {tensor.type for tensor in tensors}
            if operator.code in _FLOAT_ONLY and TensorType.INT8 in types:
                raise Unsupported(
                    f"TFLite Micro's {operator.name} takes floats only", hint="leave the layer out of the integers"
                )
            if operator.code in _WEIGHTED and {TensorType.FLOAT32, TensorType.INT8} <= types:
                raise Unsupported(
                    f"TFLite Micro's {operator.name} takes no integer weights beside float activations",
                    hint="quantise the activations too: the target tflm-int8 with calibration data",
                )
    refusals.raise_if_any("{count} things in this model cannot be written for TFLite Micro")
