"""One small file for each operator and setting: a name, and a function that writes it and returns its outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.frontend.tflite.files import File

Case = Callable[[File], list[int]]

#: LiteRT's reference kernels lack these operators; that of the last leaves the window's last channel out.
WITHOUT_REFERENCE = ("ELU", "CEIL", "ROUND", "GELU", "SIGN", "LOCAL_RESPONSE_NORMALIZATION")

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def conv(
    f: File, x: int, shape: tuple[int, ...], weight: tuple[int, ...], *, padding: int, stride: int = 1, act: int = 0
) -> int:
    w, b = f.weight(*weight), f.weight(weight[0])
    options = {"padding": padding, "stride_h": stride, "stride_w": stride, "fused_activation_function": act}
    return f.op("CONV_2D", [x, w, b], shape, table="Conv2DOptions", **options)


# ---------------------------------------------------------------------- convolutions and pools


@case
def conv_same_stride_2(f: File) -> list[int]:
    x = f.input(1, 8, 7, 3)
    return [conv(f, x, (1, 4, 4, 5), (5, 3, 3, 3), padding=0, stride=2, act=1)]


@case
def conv_valid_relu6(f: File) -> list[int]:
    x = f.input(1, 8, 7, 3)
    return [conv(f, x, (1, 6, 5, 5), (5, 3, 3, 3), padding=1, act=3)]


@case
def conv_dilated(f: File) -> list[int]:
    x, w, b = f.input(1, 9, 9, 2), f.weight(4, 3, 3, 2), f.weight(4)
    options = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 2, "dilation_w_factor": 3}
    return [f.op("CONV_2D", [x, w, b], (1, 9, 9, 4), table="Conv2DOptions", **options)]


@case
def conv_in_groups(f: File) -> list[int]:
    x, w, b = f.input(1, 5, 5, 6), f.weight(4, 3, 3, 3), f.weight(4)
    return [f.op("CONV_2D", [x, w, b], (1, 5, 5, 4), table="Conv2DOptions", stride_h=1, stride_w=1)]


@case
def depthwise_same_stride_2(f: File) -> list[int]:
    x, w, b = f.input(1, 8, 8, 3), f.weight(1, 3, 3, 3), f.weight(3)
    options = {"stride_h": 2, "stride_w": 2, "depth_multiplier": 1, "fused_activation_function": 3}
    return [f.op("DEPTHWISE_CONV_2D", [x, w, b], (1, 4, 4, 3), table="DepthwiseConv2DOptions", **options)]


@case
def depthwise_multiplier_2(f: File) -> list[int]:
    x, w, b = f.input(1, 6, 6, 3), f.weight(1, 3, 3, 6), f.weight(6)
    options = {"stride_h": 1, "stride_w": 1, "depth_multiplier": 2}
    return [f.op("DEPTHWISE_CONV_2D", [x, w, b], (1, 6, 6, 6), table="DepthwiseConv2DOptions", **options)]


def spread(name: str, weight: tuple[int, ...], table: str, **fields: int) -> Case:
    """A convolution of dilation 2 over an image (1, 7, 6, 3), as TensorFlow writes it: SAME, with a crop."""

    def make(f: File) -> list[int]:
        x, block, w, b = f.input(1, 7, 6, 3), f.ints(2, 2), f.weight(*weight), f.weight(6)
        parts = f.op("SPACE_TO_BATCH_ND", [x, block, f.ints([[2, 3], [2, 2]])], (4, 6, 5, 3))
        options = {"padding": 1, "stride_h": 1, "stride_w": 1, "fused_activation_function": 1}
        channels = weight[0] if name == "CONV_2D" else weight[3]
        y = f.op(name, [parts, w, b], (4, 4, 3, channels), table=table, **{**options, **fields})
        return [f.op("BATCH_TO_SPACE_ND", [y, block, f.ints([[0, 1], [0, 0]])], (1, 7, 6, channels))]

    return make


CASES |= {
    "conv_of_parts": spread("CONV_2D", (6, 3, 3, 3), "Conv2DOptions"),
    "depthwise_of_parts": spread("DEPTHWISE_CONV_2D", (1, 3, 3, 6), "DepthwiseConv2DOptions", depth_multiplier=2),
}


def transposed(kernel: int, stride: int, padding: int, out: int) -> Case:
    def make(f: File) -> list[int]:
        x, w, b = f.input(1, 4, 4, 3), f.weight(5, kernel, kernel, 3), f.weight(5)
        shape = f.ints(1, out, out, 5)
        options = {"padding": padding, "stride_h": stride, "stride_w": stride}
        return [f.op("TRANSPOSE_CONV", [shape, w, x, b], (1, out, out, 5), table="TransposeConvOptions", version=3, **options)]

    return make


CASES |= {
    "transpose_conv_3_stride_2_same": transposed(3, 2, 0, 8),
    "transpose_conv_4_stride_2_same": transposed(4, 2, 0, 8),
    "transpose_conv_2_stride_2_same": transposed(2, 2, 0, 8),
    "transpose_conv_3_stride_2_valid": transposed(3, 2, 1, 9),
    "transpose_conv_3_stride_1_same": transposed(3, 1, 0, 4),
}


def pool(name: str, kernel: int, stride: int, padding: int, size: int, out: int) -> Case:
    def make(f: File) -> list[int]:
        x = f.input(1, size, size, 3)
        options = {"padding": padding, "stride_h": stride, "stride_w": stride, "filter_height": kernel, "filter_width": kernel}
        return [f.op(name, [x], (1, out, out, 3), table="Pool2DOptions", **options)]

    return make


for _name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
    CASES |= {
        f"{_name.lower()}_valid": pool(_name, 2, 2, 1, 8, 4),
        f"{_name.lower()}_same_3_stride_2": pool(_name, 3, 2, 0, 8, 4),
        f"{_name.lower()}_same_3_stride_2_odd": pool(_name, 3, 2, 0, 7, 4),
        f"{_name.lower()}_same_3_stride_1": pool(_name, 3, 1, 0, 6, 6),
        f"{_name.lower()}_same_2_stride_1": pool(_name, 2, 1, 0, 6, 6),
        f"{_name.lower()}_same_4_stride_3": pool(_name, 4, 3, 0, 8, 3),
    }

CASES["l2_pool_2d_same"] = pool("L2_POOL_2D", 3, 2, 0, 8, 4)


@case
def local_response_normalization(f: File) -> list[int]:
    options = {"radius": 2, "bias": 1.5, "alpha": 0.5, "beta": 0.75}
    table = "LocalResponseNormalizationOptions"
    return [f.op("LOCAL_RESPONSE_NORMALIZATION", [f.input(1, 3, 4, 7)], (1, 3, 4, 7), table=table, **options)]


# ---------------------------------------------------------------------- products


@case
def fully_connected_flattens(f: File) -> list[int]:
    x, w, b = f.input(1, 3, 4), f.weight(5, 12), f.weight(5)
    return [f.op("FULLY_CONNECTED", [x, w, b], (1, 5), table="FullyConnectedOptions", fused_activation_function=1)]


@case
def fully_connected_keeps_dimensions(f: File) -> list[int]:
    x, w = f.input(1, 3, 4), f.weight(5, 4)
    return [f.op("FULLY_CONNECTED", [x, w, -1], (1, 3, 5), table="FullyConnectedOptions", keep_num_dims=True)]


@case
def an_image_flattened_into_a_product(f: File) -> list[int]:
    x = f.input(1, 6, 5, 2)
    y = conv(f, x, (1, 6, 5, 3), (3, 3, 3, 2), padding=0, act=1)
    flat = f.op("RESHAPE", [y, f.ints(1, 90)], (1, 90), table="ReshapeOptions", new_shape=(1, 90))
    return [f.op("FULLY_CONNECTED", [flat, f.weight(4, 90), f.weight(4)], (1, 4), table="FullyConnectedOptions")]


@case
def a_product_folded_into_an_image(f: File) -> list[int]:
    x = f.input(1, 6)
    y = f.op("FULLY_CONNECTED", [x, f.weight(18, 6), f.weight(18)], (1, 18), table="FullyConnectedOptions")
    image = f.op("RESHAPE", [y, f.ints(1, 3, 3, 2)], (1, 3, 3, 2), table="ReshapeOptions")
    return [conv(f, image, (1, 3, 3, 4), (4, 3, 3, 2), padding=0)]


@case
def batch_matmul_of_two(f: File) -> list[int]:
    a, b = f.input(1, 2, 3, 4), f.input(1, 2, 5, 4)
    return [f.op("BATCH_MATMUL", [a, b], (1, 2, 3, 5), table="BatchMatMulOptions", adj_y=True)]


@case
def batch_matmul_with_first_transposed(f: File) -> list[int]:
    a, b = f.input(1, 4, 3), f.input(1, 4, 5)
    return [f.op("BATCH_MATMUL", [a, b], (1, 3, 5), table="BatchMatMulOptions", adj_x=True)]


@case
def batch_matmul_with_a_constant(f: File) -> list[int]:
    return [f.op("BATCH_MATMUL", [f.input(1, 3, 4), f.weight(4, 6)], (1, 3, 6), table="BatchMatMulOptions")]


# ---------------------------------------------------------------------- elementwise


def elementwise(name: str, table: str | None = None, **fields: int) -> Case:
    def make(f: File) -> list[int]:
        return [f.op(name, [f.input(1, 3, 4), f.input(1, 3, 4)], (1, 3, 4), table=table, **fields)]

    return make


CASES |= {
    "add_relu": elementwise("ADD", "AddOptions", fused_activation_function=1),
    "sub_relu_n1_to_1": elementwise("SUB", "SubOptions", fused_activation_function=2),
    "mul": elementwise("MUL", "MulOptions"),
    "div": elementwise("DIV", "DivOptions"),
    "maximum": elementwise("MAXIMUM", "MaximumMinimumOptions"),
    "minimum": elementwise("MINIMUM", "MaximumMinimumOptions"),
    "squared_difference": elementwise("SQUARED_DIFFERENCE", "SquaredDifferenceOptions"),
    "floor_div": elementwise("FLOOR_DIV", "FloorDivOptions"),
    "floor_mod": elementwise("FLOOR_MOD", "FloorModOptions"),
}


def channels_of_an_image(name: str, shape: tuple[int, ...]) -> Case:
    """A constant of another rank beside a channels-last image."""

    def make(f: File) -> list[int]:
        x = f.input(1, 5, 6, 2)
        y = conv(f, x, (1, 5, 6, 4), (4, 1, 1, 2), padding=1)
        return [f.op(name, [y, f.weight(*shape)], (1, 5, 6, 4), table=f"{name.capitalize()}Options")]

    return make


CASES |= {
    "an_image_times_a_number_per_channel": channels_of_an_image("MUL", (4,)),
    "an_image_plus_a_number_per_column": channels_of_an_image("ADD", (6, 1)),
    "an_image_minus_an_image": channels_of_an_image("SUB", (1, 5, 6, 4)),
    "an_image_plus_a_scalar": channels_of_an_image("ADD", ()),
}


@case
def an_image_times_a_gate(f: File) -> list[int]:
    """Squeeze and excitation."""
    x = f.input(1, 4, 4, 3)
    y = conv(f, x, (1, 4, 4, 8), (8, 3, 3, 3), padding=0, act=1)
    mean = f.op("MEAN", [y, f.ints(1, 2)], (1, 1, 1, 8), table="ReducerOptions", keep_dims=True)
    small = conv(f, mean, (1, 1, 1, 2), (2, 1, 1, 8), padding=1, act=1)
    gate = f.op("LOGISTIC", [conv(f, small, (1, 1, 1, 8), (8, 1, 1, 2), padding=1)], (1, 1, 1, 8))
    return [f.op("MUL", [y, gate], (1, 4, 4, 8), table="MulOptions")]


def unary(name: str, table: str | None = None, positive: bool = False, **fields: object) -> Case:
    def make(f: File) -> list[int]:
        x = f.input(1, 3, 4)
        x = f.op("EXP", [x], (1, 3, 4)) if positive else x
        return [f.op(name, [x], (1, 3, 4), table=table, **fields)]  # type: ignore[arg-type]

    return make


_UNARY = (
    *("EXP", "SQUARE", "ABS", "NEG", "FLOOR", "CEIL", "ROUND", "SIN", "COS", "SIGN"),
    *("RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "LOG_SOFTMAX", "L2_NORMALIZATION"),
)
CASES |= {name.lower(): unary(name) for name in _UNARY}
CASES |= {name.lower(): unary(name, positive=True) for name in ("LOG", "SQRT", "RSQRT")}
CASES |= {
    "leaky_relu": unary("LEAKY_RELU", "LeakyReluOptions", alpha=0.2),
    "gelu": unary("GELU", "GeluOptions"),
    "gelu_tanh": unary("GELU", "GeluOptions", approximate=True),
    "softmax": unary("SOFTMAX", "SoftmaxOptions", beta=1.0),
    "softmax_beta_2": unary("SOFTMAX", "SoftmaxOptions", beta=2.0),
}


@case
def pow_of_two(f: File) -> list[int]:
    x = f.op("EXP", [f.input(1, 3)], (1, 3))
    return [f.op("POW", [x, f.constant(np.float32(1.5))], (1, 3), table="PowOptions")]


@case
def prelu_per_channel(f: File) -> list[int]:
    x = f.input(1, 4, 4, 3)
    y = conv(f, x, (1, 4, 4, 6), (6, 1, 1, 3), padding=1)
    return [f.op("PRELU", [y, f.weight(1, 1, 6)], (1, 4, 4, 6))]


@case
def prelu_per_element(f: File) -> list[int]:
    return [f.op("PRELU", [f.input(1, 4, 6), f.weight(4, 6)], (1, 4, 6))]


def comparison(name: str) -> Case:
    def make(f: File) -> list[int]:
        x, y = f.input(1, 3, 4), f.input(1, 3, 4)
        test = f.op(name, [x, y], (1, 3, 4), type="?")
        return [f.op("SELECT_V2", [test, x, f.constant(np.float32(0.5))], (1, 3, 4), table="SelectV2Options"), test]

    return make


_COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
CASES |= {f"select_where_{name.lower()}": comparison(name) for name in _COMPARISONS}


@case
def logic(f: File) -> list[int]:
    a, b = f.input(1, 4, type="?"), f.input(1, 4, type="?")
    both = f.op("LOGICAL_AND", [a, b], (1, 4), type="?")
    either = f.op("LOGICAL_OR", [a, b], (1, 4), type="?")
    return [both, either, f.op("LOGICAL_NOT", [a], (1, 4), type="?")]


@case
def cast_to_integers_and_back(f: File) -> list[int]:
    y = f.op("CAST", [f.input(1, 5)], (1, 5), type="i4", table="CastOptions")
    return [f.op("CAST", [y], (1, 5), table="CastOptions"), y]


# ---------------------------------------------------------------------- shapes


@case
def transposes_that_cancel(f: File) -> list[int]:
    """A file of a channels-first model, as converters from ONNX write them."""
    x = f.input(1, 3, 8, 8)
    last = f.op("TRANSPOSE", [x, f.ints(0, 2, 3, 1)], (1, 8, 8, 3), table="TransposeOptions")
    y = conv(f, last, (1, 8, 8, 4), (4, 3, 3, 3), padding=0)
    return [f.op("TRANSPOSE", [y, f.ints(0, 3, 1, 2)], (1, 4, 8, 8), table="TransposeOptions")]


@case
def a_signal_as_an_image_of_height_1(f: File) -> list[int]:
    """How a one-dimensional convolution of Keras is written."""
    x = f.input(1, 20, 3)
    image = f.op("EXPAND_DIMS", [x, f.ints(np.int32(1))], (1, 1, 20, 3))
    y = conv(f, image, (1, 1, 20, 5), (5, 1, 3, 3), padding=0)
    signal = f.op("SQUEEZE", [y], (1, 20, 5), table="SqueezeOptions", squeeze_dims=(1,))
    z = f.op("RELU", [signal], (1, 20, 5))
    image = f.op("RESHAPE", [z, f.ints(1, 1, 20, 5)], (1, 1, 20, 5))
    y = conv(f, image, (1, 1, 20, 2), (2, 1, 5, 5), padding=0)
    signal = f.op("RESHAPE", [y, f.ints(1, 20, 2)], (1, 20, 2))
    return [f.op("MEAN", [signal, f.ints([1])], (1, 2), table="ReducerOptions")]


@case
def concatenated_channels(f: File) -> list[int]:
    x = f.input(1, 4, 4, 3)
    y, z = (conv(f, x, (1, 4, 4, c), (c, 3, 3, 3), padding=0) for c in (2, 4))
    return [f.op("CONCATENATION", [y, z, x], (1, 4, 4, 9), table="ConcatenationOptions", axis=-1)]


@case
def split_channels(f: File) -> list[int]:
    y = conv(f, f.input(1, 4, 4, 3), (1, 4, 4, 6), (6, 3, 3, 3), padding=0)
    first = f.op("SPLIT", [f.ints(np.int32(3)), y], [(1, 4, 4, 3)] * 2, table="SplitOptions", num_splits=2)
    return [f.op("ADD", [first, first + 1], (1, 4, 4, 3), table="AddOptions")]


@case
def split_of_given_sizes(f: File) -> list[int]:
    x = f.input(1, 7, 2)
    first = f.op(
        "SPLIT_V",
        [x, f.ints(2, -1, 1), f.ints(np.int32(1))],
        [(1, 2, 2), (1, 4, 2), (1, 1, 2)],
        table="SplitVOptions",
        num_splits=3,
    )
    return [first, first + 1, first + 2]


@case
def slice_of_an_image(f: File) -> list[int]:
    y = conv(f, f.input(1, 5, 6, 3), (1, 5, 6, 4), (4, 1, 1, 3), padding=1)
    return [f.op("SLICE", [y, f.ints(0, 1, 2, 1), f.ints(1, 3, -1, 2)], (1, 3, 4, 2))]


@case
def strided_slice_with_masks(f: File) -> list[int]:
    x = f.input(1, 6, 5, 4)
    options = {"begin_mask": 0b0001, "end_mask": 0b0011, "shrink_axis_mask": 0b1000}
    bounds = [f.ints(9, 1, 0, 2), f.ints(9, 9, 5, 3), f.ints(1, 2, 1, 1)]
    return [f.op("STRIDED_SLICE", [x, *bounds], (1, 3, 5), table="StridedSliceOptions", **options)]


@case
def strided_slice_backwards(f: File) -> list[int]:
    x = f.input(1, 7, 3)
    bounds = [f.ints(0, -1, 0), f.ints(1, 0, 3), f.ints(1, -2, 1)]
    options = {"end_mask": 0b011, "begin_mask": 0b001}
    return [f.op("STRIDED_SLICE", [x, *bounds], (1, 4, 3), table="StridedSliceOptions", **options)]


@case
def strided_slice_with_a_new_axis(f: File) -> list[int]:
    x = f.input(1, 7, 3)
    bounds = [f.ints(0, 0, 1), f.ints(1, 0, 5), f.ints(1, 1, 1)]
    options = {"begin_mask": 0b001, "end_mask": 0b001, "new_axis_mask": 0b010}
    return [f.op("STRIDED_SLICE", [x, *bounds], (1, 1, 4, 3), table="StridedSliceOptions", **options)]


@case
def strided_slice_with_an_ellipsis(f: File) -> list[int]:
    x = f.input(1, 4, 5, 3)
    bounds = [f.ints(0, 1), f.ints(0, 3), f.ints(1, 1)]
    return [f.op("STRIDED_SLICE", [x, *bounds], (1, 4, 5, 2), table="StridedSliceOptions", ellipsis_mask=1)]


@case
def zeros_around_an_image(f: File) -> list[int]:
    y = f.op("PAD", [f.input(1, 4, 5, 3), f.ints([[0, 0], [1, 2], [0, 3], [0, 0]])], (1, 7, 8, 3), table="PadOptions")
    return [conv(f, y, (1, 5, 6, 2), (2, 3, 3, 3), padding=1)]


@case
def a_number_around(f: File) -> list[int]:
    pads, value = f.ints([[0, 0], [1, 2]]), f.constant(np.float32(-1.5))
    return [f.op("PADV2", [f.input(1, 4), pads, value], (1, 7), table="PadV2Options")]


def mirror(mode: int, shape: tuple[int, ...], pads: list[list[int]], out: tuple[int, ...]) -> Case:
    def make(f: File) -> list[int]:
        return [f.op("MIRROR_PAD", [f.input(*shape), f.ints(pads)], out, table="MirrorPadOptions", mode=mode)]

    return make


CASES |= {
    "mirror_reflect": mirror(0, (1, 4, 5, 3), [[0, 0], [1, 2], [2, 1], [0, 0]], (1, 7, 8, 3)),
    "mirror_symmetric": mirror(1, (1, 4, 5), [[0, 0], [1, 3], [2, 0]], (1, 8, 7)),
    "mirror_reflect_of_channels": mirror(0, (1, 4, 5), [[0, 0], [1, 3], [0, 4]], (1, 8, 9)),
}


@case
def stacked_and_unstacked(f: File) -> list[int]:
    x, y = f.input(1, 3, 4), f.input(1, 3, 4)
    both = f.op("PACK", [x, y], (1, 2, 3, 4), table="PackOptions", axis=1, values_count=2)
    first = f.op("UNPACK", [both], [(1, 2, 4)] * 3, table="UnpackOptions", axis=2, num=3)
    return [both, first, first + 2]


@case
def gathered_rows(f: File) -> list[int]:
    return [f.op("GATHER", [f.input(1, 5, 3), f.ints(4, 0, 2, 2)], (1, 4, 3), table="GatherOptions", axis=1)]


@case
def an_embedding(f: File) -> list[int]:
    return [f.op("GATHER", [f.weight(7, 4), f.input(1, 3, type="i4")], (1, 3, 4), table="GatherOptions")]


@case
def one_hot(f: File) -> list[int]:
    on, off = f.constant(np.float32(2.0)), f.constant(np.float32(-1.0))
    return [
        f.op("ONE_HOT", [f.input(1, 3, type="i4"), f.ints(np.int32(5)), on, off], (1, 3, 5), table="OneHotOptions", axis=-1)
    ]


@case
def positions_of_a_length(f: File) -> list[int]:
    x = f.input(1, 4, 3)
    shape = f.op("SHAPE", [x], (3,), type="i4", table="ShapeOptions", out_type=2)
    one = f.ints([1])
    options = {"table": "StridedSliceOptions", "shrink_axis_mask": 1}
    length = f.op("STRIDED_SLICE", [shape, one, f.ints([2]), one], (), type="i4", **options)
    numbers = f.op("RANGE", [f.ints(np.int32(0)), length, f.ints(np.int32(1))], (4,), type="i4", table="RangeOptions")
    column = f.op("RESHAPE", [f.op("CAST", [numbers], (4,), table="CastOptions"), f.ints(4, 1)], (4, 1))
    return [f.op("ADD", [x, column], (1, 4, 3), table="AddOptions")]


@case
def tiled(f: File) -> list[int]:
    return [f.op("TILE", [f.input(1, 2, 3), f.ints(1, 3, 2)], (1, 6, 6))]


@case
def broadcast(f: File) -> list[int]:
    return [f.op("BROADCAST_TO", [f.input(1, 1, 3), f.ints(1, 4, 3)], (1, 4, 3), table="BroadcastToOptions", version=2)]


@case
def reversed_in_time(f: File) -> list[int]:
    return [f.op("REVERSE_V2", [f.input(1, 5, 2), f.ints([1])], (1, 5, 2), table="ReverseV2Options")]


def blocks(name: str, table: str, shape: tuple[int, ...], out: tuple[int, ...]) -> Case:
    def make(f: File) -> list[int]:
        return [f.op(name, [f.input(*shape)], out, table=table, block_size=2)]

    return make


CASES |= {
    "depth_to_space": blocks("DEPTH_TO_SPACE", "DepthToSpaceOptions", (1, 2, 3, 12), (1, 4, 6, 3)),
    "space_to_depth": blocks("SPACE_TO_DEPTH", "SpaceToDepthOptions", (1, 4, 6, 3), (1, 2, 3, 12)),
}


@case
def a_shape_computed_while_running(f: File) -> list[int]:
    x = f.input(1, 3, 4)
    shape = f.op("SHAPE", [x], (3,), type="i4", table="ShapeOptions", out_type=2)
    one = f.ints([1])
    batch = f.op(
        "STRIDED_SLICE", [shape, f.ints([0]), one, one], (), type="i4", table="StridedSliceOptions", shrink_axis_mask=1
    )
    wanted = f.op("PACK", [batch, f.ints(np.int32(12))], (2,), type="i4", table="PackOptions", values_count=2)
    return [f.op("RESHAPE", [x, wanted], (1, 12), table="ReshapeOptions")]


# ---------------------------------------------------------------------- reductions


def reduction(name: str, axes: list[int], keep: bool, out: tuple[int, ...]) -> Case:
    def make(f: File) -> list[int]:
        y = conv(f, f.input(1, 4, 5, 3), (1, 4, 5, 2), (2, 1, 1, 3), padding=1)
        return [f.op(name, [y, f.ints(axes)], out, table="ReducerOptions", keep_dims=keep)]

    return make


CASES |= {
    "mean_over_an_image": reduction("MEAN", [1, 2], False, (1, 2)),
    "mean_over_an_image_kept": reduction("MEAN", [2, 1], True, (1, 1, 1, 2)),
    "sum_over_channels": reduction("SUM", [-1], False, (1, 4, 5)),
    "largest_in_a_row": reduction("REDUCE_MAX", [2], False, (1, 4, 2)),
    "smallest_in_a_column": reduction("REDUCE_MIN", [1], True, (1, 1, 5, 2)),
}


@case
def arg_max_of_channels(f: File) -> list[int]:
    y = conv(f, f.input(1, 4, 5, 3), (1, 4, 5, 6), (6, 1, 1, 3), padding=1)
    axis = f.ints(np.int32(-1))
    return [
        f.op("ARG_MAX", [y, axis], (1, 4, 5), type="i4", table="ArgMaxOptions", output_type=2),
        f.op("ARG_MIN", [y, axis], (1, 4, 5), type="i8", table="ArgMinOptions", output_type=4),
    ]


def running_sum(exclusive: bool, reverse: bool) -> Case:
    def make(f: File) -> list[int]:
        axis = f.ints(np.int32(1))
        return [
            f.op("CUMSUM", [f.input(1, 5, 2), axis], (1, 5, 2), table="CumsumOptions", exclusive=exclusive, reverse=reverse)
        ]

    return make


CASES |= {"cumsum": running_sum(False, False), "cumsum_exclusive_reverse": running_sum(True, True)}

# ---------------------------------------------------------------------- resizing


def resize(name: str, size: tuple[int, int], out: tuple[int, int], **fields: bool) -> Case:
    table = "ResizeBilinearOptions" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"

    def make(f: File) -> list[int]:
        x = f.input(1, *size, 3)
        return [f.op(name, [x, f.ints(*out)], (1, *out, 3), table=table, version=3, **fields)]

    return make


for _name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
    for _label, _fields in (("legacy", {}), ("half_pixel", {"half_pixel_centers": True}), ("corners", {"align_corners": True})):
        CASES[f"{_name.lower()}_{_label}_up"] = resize(_name, (4, 5), (8, 10), **_fields)
        CASES[f"{_name.lower()}_{_label}_odd"] = resize(_name, (5, 4), (7, 3), **_fields)

# ---------------------------------------------------------------------- recurrent


def lstm(time_major: bool) -> Case:
    def make(f: File) -> list[int]:
        shape = (6, 1, 3) if time_major else (1, 6, 3)
        x = f.input(*shape)
        gates = [*(f.weight(4, 3) for _ in range(4)), *(f.weight(4, 4) for _ in range(4))]
        biases = [f.weight(4) for _ in range(4)]
        states = [f.state(1, 4), f.state(1, 4)]
        inputs = [x, *gates, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
        options = {"fused_activation_function": 4, "time_major": time_major}
        table = "UnidirectionalSequenceLSTMOptions"
        return [f.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (*shape[:2], 4), table=table, **options)]

    return make


CASES |= {"lstm": lstm(False), "lstm_time_major": lstm(True)}


@case
def bidirectional_lstm(f: File) -> list[int]:
    x, weights = f.input(1, 6, 3), []
    for _ in range(2):
        weights += [*(f.weight(4, 3) for _ in range(4)), *(f.weight(4, 4) for _ in range(4)), -1, -1, -1]
        weights += [*(f.weight(4) for _ in range(4)), -1, -1]
    inputs = [x, *weights, *(f.state(1, 4) for _ in range(4)), *[-1] * 9]
    options = {"fused_activation_function": 4, "merge_outputs": True, "time_major": False}
    return [f.op("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, (1, 6, 8), table="BidirectionalSequenceLSTMOptions", **options)]


@case
def rnn(f: File) -> list[int]:
    inputs = [f.input(1, 6, 3), f.weight(4, 3), f.weight(4, 4), f.weight(4), f.state(1, 4)]
    table = "SequenceRNNOptions"
    return [f.op("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, (1, 6, 4), table=table, fused_activation_function=4)]


# ---------------------------------------------------------------------- stored weights


@case
def weights_in_16_bits(f: File) -> list[int]:
    half = f.constant(f.random.standard_normal((4, 3, 3, 2)).astype(np.float16))
    full = f.op("DEQUANTIZE", [half], (4, 3, 3, 2), version=3)
    x, b = f.input(1, 5, 5, 2), f.weight(4)
    return [f.op("CONV_2D", [x, full, b], (1, 5, 5, 4), table="Conv2DOptions", stride_h=1, stride_w=1)]
