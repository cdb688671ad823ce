"""The lowest version of each operator that expresses a use of it, so that old runtimes load our files.

Facts from TFLite's ``op_version.cc`` (tools/versioning), which its own converter applies. A runtime registers each
kernel for a range of versions and refuses a file that asks for more, so a version that is too high locks out devices and
one that is too low can run with the wrong meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.formats.tflite.model import Options, Tensor
from edgekit.formats.tflite.schema_generated import ActivationFunctionType, BuiltinOperator, TensorType


@dataclass(frozen=True)
class Use:
    """One use of an operator: its tensors (None for an absent optional input) and options."""

    inputs: Sequence[Tensor | None]
    outputs: Sequence[Tensor]
    options: Options | None = None

    def type(self, index: int) -> TensorType | None:
        """The type of an input, None where it is absent."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return None if tensor is None else tensor.type

    def option(self, name: str) -> object:
        """A field of the options, 0 where it has its default."""
        return 0 if self.options is None else self.options.fields.get(name, 0)

    def rank(self) -> int:
        """The largest number of dimensions among the inputs."""
        return max((len(tensor.shape) for tensor in self.inputs if tensor is not None), default=0)

    def broadcasts(self) -> bool:
        """Whether the first two inputs differ in shape."""
        first, second = self.inputs[0], self.inputs[1]
        return first is not None and second is not None and first.shape != second.shape

    def hybrid(self, weights: int = 1) -> bool:
        """Float activations with 8-bit weights."""
        return self.type(0) == TensorType.FLOAT32 and self.type(weights) == TensorType.INT8

    def per_channel(self, weights: int = 1) -> bool:
        """Whether the weights have several scales."""
        tensor = self.inputs[weights]
        return tensor is not None and tensor.quantization is not None and len(tensor.quantization.scale) > 1


Condition = Callable[[Use], bool]


def _is(*types: TensorType, at: int = 0) -> Condition:
    return lambda use: use.type(at) in types


def _int8(use: Use) -> bool:
    return use.type(0) == TensorType.INT8


def _int16(use: Use) -> bool:
    return use.type(0) == TensorType.INT16


def _int8_weights_int4(use: Use) -> bool:
    return _int8(use) and use.type(1) == TensorType.INT4


def _set(*names: str) -> Condition:
    return lambda use: any(use.option(name) for name in names)


def _rank_above(limit: int) -> Condition:
    return lambda use: use.rank() > limit


def _broadcast_above_4d(use: Use) -> bool:
    return use.broadcasts() and use.rank() > 4


def _dilated(use: Use) -> bool:
    return any(use.option(name) not in (0, 1) for name in ("dilation_w_factor", "dilation_h_factor"))


def _grouped(use: Use) -> bool:
    data, weights = use.inputs[0], use.inputs[1]
    return data is not None and weights is not None and data.shape[-1] != weights.shape[-1]


def _rescales_up(use: Use) -> bool:
    """A quantised product whose rescaling factor s1 * s2 / s_out is 1 or more."""
    tensors = [*use.inputs[:2], use.outputs[0]]
    scales = [t.quantization.scale[0] for t in tensors if t is not None and t.quantization is not None]
    return len(scales) == 3 and float(scales[0]) * float(scales[1]) / float(scales[2]) >= 1


def _quantized_output_16(use: Use) -> bool:
    return use.outputs[0].type == TensorType.INT16


_INT8_2: tuple[tuple[Condition, int], ...] = ((_int16, 3), (_int8, 2))
_ONLY_INT8_2: tuple[tuple[Condition, int], ...] = ((_int8, 2),)
_OP = BuiltinOperator
_T = TensorType

#: Operator -> (condition, version), the first that holds counts, 1 where none does. An operator that is not listed has
#: one version for all that edgekit writes.
LOWEST: dict[BuiltinOperator, tuple[tuple[Condition, int], ...]] = {
    _OP.CONV_2D: (
        (_grouped, 6),
        (_int8_weights_int4, 7),
        (_int8, 3),
        (lambda use: use.hybrid() and use.per_channel(), 5),
        (lambda use: use.hybrid(), 2),
    ),
    _OP.DEPTHWISE_CONV_2D: (
        (lambda use: use.hybrid() and use.per_channel(), 6),
        (lambda use: use.hybrid(), 4),
        (_int8_weights_int4, 7),
        (_int8, 3),
        (_dilated, 2),
    ),
    _OP.FULLY_CONNECTED: (
        (lambda use: use.hybrid() and use.per_channel(), 12),
        (lambda use: len(use.inputs) == 2, 6),
        (_set("keep_num_dims"), 5),
        (_int8_weights_int4, 10),
        (_int8, 4),
        (lambda use: use.hybrid() and bool(use.option("asymmetric_quantize_inputs")), 9),
        (lambda use: use.hybrid(), 3),
    ),
    _OP.TRANSPOSE_CONV: (
        (lambda use: use.option("fused_activation_function") != ActivationFunctionType.NONE, 4),
        (lambda use: use.type(3) is not None, 3),
        (_is(_T.INT8, at=1), 2),
    ),
    _OP.ADD: ((_is(_T.INT64), 4), (_int16, 3), (_int8, 2)),
    _OP.SUB: ((_int16, 5), (_is(_T.INT64), 4), (_broadcast_above_4d, 3), (_int8, 2)),
    _OP.MUL: ((_is(_T.INT64), 5), (_int16, 4), (_rescales_up, 3), (_int8, 2)),
    _OP.DIV: ((_broadcast_above_4d, 2),),
    _OP.MAXIMUM: ((_int16, 4), (_broadcast_above_4d, 3), (_int8, 2)),
    _OP.MINIMUM: ((_int16, 4), (_broadcast_above_4d, 3), (_int8, 2)),
    _OP.MAX_POOL_2D: _INT8_2,
    _OP.AVERAGE_POOL_2D: _INT8_2,
    _OP.RELU: ((_int16, 3), (_is(_T.INT8, _T.UINT8), 2)),
    _OP.RELU6: _INT8_2,
    _OP.TANH: _INT8_2,
    _OP.LOGISTIC: _INT8_2,
    _OP.SOFTMAX: _INT8_2,
    _OP.LOG_SOFTMAX: _ONLY_INT8_2,
    _OP.LEAKY_RELU: ((_int16, 2),),
    _OP.ABS: ((_is(_T.INT32), 5), (_int16, 3), (_is(_T.INT8, _T.UINT8), 2)),
    _OP.SIGN: ((_is(_T.INT32), 2),),
    _OP.EXP: ((_is(_T.INT8, _T.INT16), 2),),
    _OP.LOG: ((_is(_T.INT8, _T.INT16), 2),),
    _OP.SQRT: ((_is(_T.INT8, _T.INT16), 2),),
    _OP.RSQRT: _INT8_2,
    _OP.MEAN: _INT8_2,
    _OP.SUM: _ONLY_INT8_2,
    _OP.REDUCE_MAX: _INT8_2,
    _OP.REDUCE_MIN: _INT8_2,
    _OP.REDUCE_PROD: ((_is(_T.INT8, _T.INT16), 2),),
    _OP.ARG_MAX: ((_is(_T.BOOL), 3), (_int8, 2)),
    _OP.SQUARED_DIFFERENCE: _ONLY_INT8_2,
    _OP.TRANSPOSE: ((_rank_above(5), 6), (_int16, 5), (_rank_above(4), 4), (_is(_T.BOOL), 3), (_int8, 2)),
    _OP.PAD: ((_is(_T.BOOL), 5), (_rank_above(4), 4), (_int16, 3), (_int8, 2)),
    _OP.PADV2: ((_is(_T.BOOL), 5), (_rank_above(4), 4), (_int16, 3), (_int8, 2)),
    _OP.MIRROR_PAD: _INT8_2,
    _OP.CONCATENATION: ((_is(_T.UINT32), 4), (_int16, 3), (_int8, 2)),
    _OP.PACK: ((_is(_T.UINT32), 4), (_int16, 3), (_int8, 2)),
    _OP.UNPACK: ((_is(_T.FLOAT16, _T.BFLOAT16), 5), (_int16, 4), (_is(_T.BOOL), 3), (_is(_T.INT8, _T.UINT8), 2)),
    _OP.SPLIT: ((_is(_T.INT16, at=1), 4), (_is(_T.INT32, at=1), 3), (_is(_T.INT8, at=1), 2)),
    _OP.SPLIT_V: _ONLY_INT8_2,
    _OP.SLICE: ((_is(_T.UINT32), 6), (_rank_above(4), 5), (_int16, 4), (_int8, 2)),
    _OP.STRIDED_SLICE: (
        (_set("offset"), 8),
        (_is(_T.UINT32), 7),
        (_set("ellipsis_mask", "new_axis_mask"), 6),
        (_rank_above(4), 4),
        (_is(_T.BOOL), 3),
        (_int8, 2),
    ),
    _OP.REVERSE_V2: ((_int8, 3), (_is(_T.BOOL), 2)),
    _OP.TILE: ((_int8, 3), (_is(_T.STRING), 2)),
    _OP.BROADCAST_TO: ((_is(_T.INT8, _T.INT16), 3), (lambda use: True, 2)),
    _OP.GATHER: (
        (_is(_T.INT4), 7),
        (_is(_T.INT16, at=1), 6),
        (_set("batch_dims"), 5),
        (_int16, 4),
        (_is(_T.BOOL), 3),
        (_int8, 2),
    ),
    _OP.SPACE_TO_DEPTH: _ONLY_INT8_2,
    _OP.DEPTH_TO_SPACE: (),
    _OP.RESIZE_BILINEAR: ((_int16, 4), (_set("half_pixel_centers"), 3), (_int8, 2)),
    _OP.RESIZE_NEAREST_NEIGHBOR: ((_int16, 4), (_set("half_pixel_centers", "align_corners"), 3), (_int8, 2)),
    _OP.BATCH_MATMUL: (
        (_int16, 3),
        (_int8, 2),
        (lambda use: use.hybrid() and bool(use.option("asymmetric_quantize_inputs")), 4),
    ),
    _OP.QUANTIZE: (
        (_is(_T.INT4), 4),
        (lambda use: use.outputs[0].quantization is not None and len(use.outputs[0].quantization.scale) > 1, 3),
        (_quantized_output_16, 2),
    ),
    _OP.DEQUANTIZE: (
        (_is(_T.INT2), 7),
        (_is(_T.INT4), 6),
        (_is(_T.INT16, _T.FLOAT16), 3),
        (lambda use: _int8(use) and use.per_channel(0), 5),
        (_int8, 2),
    ),
    _OP.EQUAL: ((_int16, 5), (_int8, 2)),
    _OP.NOT_EQUAL: ((_int16, 4), (_int8, 2)),
    _OP.LESS: _INT8_2,
    _OP.GREATER_EQUAL: _INT8_2,
    _OP.GREATER: _ONLY_INT8_2,
    _OP.LESS_EQUAL: _ONLY_INT8_2,
    _OP.SELECT_V2: ((_is(_T.UINT32), 2),),
    _OP.UNIDIRECTIONAL_SEQUENCE_LSTM: (
        (_set("diagonal_recurrent_tensors"), 4),
        (lambda use: use.hybrid(2) and bool(use.option("asymmetric_quantize_inputs")), 3),
        (lambda use: use.hybrid(2), 2),
    ),
    _OP.UNIDIRECTIONAL_SEQUENCE_RNN: (
        (lambda use: use.hybrid() and bool(use.option("asymmetric_quantize_inputs")), 3),
        (lambda use: use.hybrid(), 2),
    ),
}


def lowest_version(code: BuiltinOperator, use: Use) -> int:
    """The lowest version of ``code`` that expresses ``use``."""
    return next((version for condition, version in LOWEST.get(code, ()) if condition(use)), 1)
