"""Integer convolutions equal LiteRT's reference kernels in every bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.ir.integer.convolution import Padding, conv2d, conv_transpose2d
from edgekit.ir.quant import QuantParams
from tests.ir.integer.cases import Array, Cases, assert_same, empty, nchw, nhwc, t, tensor
from tests.ir.integer.one_op import run
from tests.seeds import seeds

OP = schema.BuiltinOperator
ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")
FUSED = dict(zip(ACTIVATIONS, (0, 1, 3, 2), strict=True))


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME for one axis."""
    total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2


def weights(cases: Cases, shape: tuple[int, ...], channels: int, axis: int, bits: int = 8) -> tuple[Array, QuantParams]:
    largest = 2 ** (bits - 1) - 1
    data = cases.rng.integers(-largest, largest + 1, shape).astype(np.int8)
    per_channel = channels > 1 and cases.rng.random() < 0.8
    scales = tuple(cases.scale(1e-4, 0.02) for _ in range(channels if per_channel else 1))
    return data, QuantParams("int8", scales, (0,) * len(scales), axis if per_channel else None, True)


def output_quant(cases: Cases, sums: Array, input_scale: float, weight_scale: float) -> QuantParams:
    """A scale at which the outputs fill about half to twice the range, so that few saturate and each bit matters."""
    spread = float(np.abs(sums).max()) * input_scale * weight_scale + 1e-6
    return QuantParams("int8", (spread / 127.0 * float(cases.rng.uniform(0.5, 2.0)),), (cases.integer(-128, 127),))


def bias_of(cases: Cases, channels: int) -> Array | None:
    return None if cases.rng.random() < 0.3 else cases.rng.integers(-3000, 3000, channels).astype(np.int32)


def check_conv(seed: int, depthwise: bool) -> None:
    cases = Cases(seed)
    kh, kw = cases.integer(1, 4), cases.integer(1, 4)
    stride = (cases.integer(1, 3), cases.integer(1, 3))
    dilation = (cases.integer(1, 2), cases.integer(1, 2))
    h, w = cases.integer(dilation[0] * (kh - 1) + 1, 12), cases.integer(dilation[1] * (kw - 1) + 1, 12)
    if depthwise:
        groups = cases.integer(1, 9)
        c, o = groups, groups * cases.integer(1, 3)
    else:
        groups = cases.integer(1, 3)
        c, o = groups * cases.integer(1, 5), groups * cases.integer(1, 6)
    n = cases.integer(1, 3)
    same = cases.rng.random() < 0.5
    padding: Padding = ((0, 0), (0, 0))
    if same:
        padding = (same_padding(h, kh, stride[0], dilation[0]), same_padding(w, kw, stride[1], dilation[1]))
    x_quant = cases.quant()
    x = cases.ints((n, c, h, w), x_quant)
    weight, w_quant = weights(cases, (o, c // groups, kh, kw), o, 0)
    bias = bias_of(cases, o)
    activation = ACTIVATIONS[cases.integer(0, 3)]
    args = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "activation": activation}

    middle = sorted(w_quant.scale)[len(w_quant.scale) // 2]
    y_quant = output_quant(cases, np.asarray([weight.astype(np.int64).__abs__().sum() / o * 60]), x_quant.scale[0], middle)
    ours = conv2d(t(x), t(weight), None if bias is None else t(bias), x_quant, w_quant, y_quant, **args)  # type: ignore[arg-type]

    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = stride
    options.dilationHFactor, options.dilationWFactor = dilation
    options.fusedActivationFunction = FUSED[activation]
    file_weight = np.ascontiguousarray(weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1))
    file_bias = np.zeros(o, np.int32) if bias is None else bias  # the runtime demands one in int8
    bias_quant = QuantParams("int32", tuple(x_quant.scale[0] * s for s in w_quant.scale), w_quant.zero_point, w_quant.axis)
    if depthwise:
        options.depthMultiplier = o // c
    inputs = [
        tensor(nhwc(x), x_quant),
        tensor(file_weight, w_quant, constant=True, axis=3 if depthwise else 0),
        tensor(file_bias, bias_quant, constant=True),
    ]
    code = OP.DEPTHWISE_CONV_2D if depthwise else OP.CONV_2D
    [theirs] = run(code, inputs, [empty(nhwc(ours.numpy()).shape, y_quant)], options, 3)
    assert_same(ours, nchw(theirs))


@pytest.mark.parametrize("seed", seeds(60, always=20))
def test_a_convolution_of_any_shape_padding_and_grouping_equals_the_runtime(seed: int) -> None:
    check_conv(seed, depthwise=False)


@pytest.mark.parametrize("seed", seeds(40, always=14))
def test_a_depthwise_convolution_with_a_multiplier_equals_the_runtime(seed: int) -> None:
    check_conv(1000 + seed, depthwise=True)


@pytest.mark.parametrize("seed", seeds(40, always=14))
def test_a_transposed_convolution_equals_the_runtime(seed: int) -> None:
    cases = Cases(2000 + seed)
    kernel, stride = (cases.integer(1, 4), cases.integer(1, 4)), (cases.integer(1, 3), cases.integer(1, 3))
    n, c, o, h, w = (cases.integer(1, 2), cases.integer(1, 5), cases.integer(1, 6), cases.integer(1, 6), cases.integer(1, 6))
    # SAME: the result has stride times the size; what the full result has beyond it is cut, the smaller half at the top.
    same = cases.rng.random() < 0.5
    cuts, extra = [], []
    for size, k, s in zip((h, w), kernel, stride, strict=True):
        beyond = (size - 1) * s + k - size * s
        cuts.append((max(beyond, 0) // 2, max(beyond, 0) - max(beyond, 0) // 2) if same else (0, 0))
        extra.append(max(-beyond, 0) if same else 0)
    x_quant = cases.quant()
    x = cases.ints((n, c, h, w), x_quant)
    weight, w_quant = weights(cases, (c, o, *kernel), o, 1)
    bias = bias_of(cases, o)
    y_quant = output_quant(
        cases, np.asarray([weight.astype(np.int64).__abs__().sum() / o * 60]), x_quant.scale[0], w_quant.scale[0]
    )
    padding: Padding = (cuts[0], cuts[1])
    ours = conv_transpose2d(
        t(x), t(weight), None if bias is None else t(bias), x_quant, w_quant, y_quant,
        stride=stride, padding=padding, output_padding=(extra[0], extra[1]),
    )  # fmt: skip
    options = schema.TransposeConvOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = stride
    shape = nhwc(ours.numpy()).shape
    inputs = [
        tensor(np.asarray(shape, np.int32), constant=True),
        tensor(np.ascontiguousarray(weight.transpose(1, 2, 3, 0)), w_quant, constant=True),
        tensor(nhwc(x), x_quant),
    ]
    if bias is not None:
        scales = tuple(x_quant.scale[0] * s for s in w_quant.scale)
        inputs.append(tensor(bias, QuantParams("int32", scales, w_quant.zero_point, w_quant.axis and 0), constant=True))
    [theirs] = run(OP.TRANSPOSE_CONV, inputs, [empty(shape, y_quant)], options, 1 if bias is None else 3)
    assert_same(ours, nchw(theirs))


def run_pointwise(x: Array, weight: Array, x_quant: QuantParams, w_quant: QuantParams, y_quant: QuantParams) -> Array:
    """The runtime's 1x1 convolution, without padding and with a bias of zero."""
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
    o = weight.shape[0]
    bias_quant = QuantParams("int32", tuple(x_quant.scale[0] * s for s in w_quant.scale), w_quant.zero_point, w_quant.axis)
    inputs = [
        tensor(nhwc(x), x_quant),
        tensor(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)), w_quant, constant=True),
        tensor(np.zeros(o, np.int32), bias_quant, constant=True),
    ]
    [theirs] = run(OP.CONV_2D, inputs, [empty((x.shape[0], *x.shape[2:], o), y_quant)], options, 3)
    return nchw(theirs)


def test_rounding_twice_differs_from_rounding_once_and_equals_the_runtime() -> None:
    """With multipliers near one and small sums, one in six results would differ under a single rounding."""
    cases = Cases(7)
    o = 600
    x_quant, y_quant = QuantParams("int8", (0.9,), (0,)), QuantParams("int8", (1.0,), (0,))
    x, weight = cases.ints((4, 4, 1, 1), x_quant, 0.25), cases.rng.integers(-3, 4, (o, 4, 1, 1)).astype(np.int8)
    w_quant = QuantParams("int8", tuple(cases.rng.uniform(0.1, 0.4, o).tolist()), (0,) * o, 0, True)
    ours = conv2d(t(x), t(weight), None, x_quant, w_quant, y_quant)
    assert_same(ours, run_pointwise(x, weight, x_quant, w_quant, y_quant))
    sums = torch.nn.functional.conv2d(t(x).double(), t(weight).double())
    once = (sums * 0.9 * torch.tensor(w_quant.scale, dtype=torch.float64).reshape(1, -1, 1, 1)).round().clamp(-128, 127)
    assert (once != ours).double().mean() > 0.1


def test_sums_beyond_float32_are_exact_too() -> None:
    """Many large products: the proof for float32 fails and float64 is taken."""
    cases = Cases(8)
    x_quant, y_quant = QuantParams("int8", (0.02,), (-128,)), QuantParams("int8", (900.0,), (-100,))
    c = 3000
    x = cases.rng.integers(100, 128, (2, c, 1, 1)).astype(np.int8)
    weight = cases.rng.integers(90, 128, (5, c, 1, 1)).astype(np.int8)
    w_quant = QuantParams("int8", (0.03,) * 5, (0,) * 5, 0, True)
    ours = conv2d(t(x), t(weight), None, x_quant, w_quant, y_quant)
    assert_same(ours, run_pointwise(x, weight, x_quant, w_quant, y_quant))


def test_reduced_precision_that_the_caller_allows_does_not_reach_the_integers() -> None:
    cases = Cases(9)
    x_quant, y_quant, w_quant = (
        QuantParams("int8", (0.02,), (3,)),
        QuantParams("int8", (0.5,), (0,)),
        QuantParams("int8", (0.01,)),
    )
    x, weight = t(cases.ints((2, 16, 8, 8), x_quant)), t(cases.rng.integers(-127, 128, (16, 16, 3, 3)).astype(np.int8))
    plain = conv2d(x, weight, None, x_quant, w_quant, y_quant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(conv2d(x, weight, None, x_quant, w_quant, y_quant), plain)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(conv2d(x, weight, None, x_quant, w_quant, y_quant), plain)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_an_activation_that_no_runtime_fuses_is_refused() -> None:
    quant = QuantParams("int8", (0.1,))
    x = torch.zeros(1, 1, 1, 1, dtype=torch.int8)
    with pytest.raises(Unsupported, match="can't be fused"):
        conv2d(x, x, None, quant, quant, quant, activation="gelu")
    with pytest.raises(Unsupported, match="int16"):
        conv2d(x, x, None, QuantParams("int16", (0.1,)), quant, quant)


@pytest.mark.parametrize("multiplier", [1.0, 3.7, 200.0, 60000.0])
def test_a_multiplier_above_one_shifts_left_before_it_multiplies(multiplier: float) -> None:
    cases = Cases(10)
    o = 64
    x_quant, y_quant = QuantParams("int8", (1.0,), (3,)), QuantParams("int8", (1.0,), (-7,))
    x = cases.rng.integers(1, 6, (4, 8, 1, 1)).astype(np.int8)
    weight = cases.rng.integers(-2, 3, (o, 8, 1, 1)).astype(np.int8)
    w_quant = QuantParams("int8", tuple((multiplier * cases.rng.uniform(0.6, 1.4, o)).tolist()), (0,) * o, 0, True)
    ours = conv2d(t(x), t(weight), None, x_quant, w_quant, y_quant)
    assert_same(ours, run_pointwise(x, weight, x_quant, w_quant, y_quant))
