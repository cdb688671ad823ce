"""Pools, reductions, resizes, joins and pads equal LiteRT's reference kernels in every bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.ir.integer.convolution import Padding
from edgekit.ir.integer.joining import concatenate, pad
from edgekit.ir.integer.pooling import average_pool2d, max_pool2d
from edgekit.ir.integer.reduction import mean, reduce_extremum, total
from edgekit.ir.integer.resize import resize_bilinear, resize_nearest
from edgekit.ir.quant import QuantParams
from tests.ir.integer.cases import Cases, assert_same, empty, nchw, nhwc, t, tensor, vector
from tests.ir.integer.one_op import run
from tests.ir.integer.test_convolution import same_padding
from tests.seeds import seeds

OP = schema.BuiltinOperator


@pytest.mark.parametrize("function", [average_pool2d, max_pool2d], ids=["average", "max"])
@pytest.mark.parametrize("seed", seeds(25, always=10))
def test_pools_with_any_window_and_padding_equal_the_runtime(function, seed: int) -> None:  # type: ignore[no-untyped-def]
    cases = Cases(seed)
    kernel, stride = (cases.integer(1, 5), cases.integer(1, 5)), (cases.integer(1, 3), cases.integer(1, 3))
    shape = (cases.integer(1, 3), cases.integer(1, 5), cases.integer(kernel[0], 12), cases.integer(kernel[1], 12))
    same = seed % 2 == 0
    padding: Padding = ((0, 0), (0, 0))
    if same:
        padding = (same_padding(shape[2], kernel[0], stride[0], 1), same_padding(shape[3], kernel[1], stride[1], 1))
    quant = cases.quant()
    x = cases.ints(shape, quant)
    activation, number = (("none", 0), ("relu", 1), ("relu6", 3))[seed % 3]
    ours = function(t(x), quant, quant, kernel=kernel, stride=stride, padding=padding, activation=activation)
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = stride
    options.filterHeight, options.filterWidth = kernel
    options.fusedActivationFunction = number
    code = OP.AVERAGE_POOL_2D if function is average_pool2d else OP.MAX_POOL_2D
    [theirs] = run(code, [tensor(nhwc(x), quant)], [empty(nhwc(ours.numpy()).shape, quant)], options, 2)
    assert_same(ours, nchw(theirs))


@pytest.mark.parametrize("seed", seeds(40, always=14))
def test_means_over_any_axes_equal_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    axes = ([2, 3], [1], [0, 2], [3], [1, 2, 3])[seed % 5]
    shape = tuple(cases.integer(1, 9) for _ in range(4))
    x_quant = cases.quant()
    y_quant = QuantParams("int8", (x_quant.scale[0] * float(cases.rng.uniform(0.1, 1.5)),), (cases.integer(-128, 127),))
    if seed % 7 == 0:
        y_quant = x_quant
    x = cases.ints(shape, x_quant)
    keep = seed % 2 == 0
    ours = mean(t(x), axes, x_quant, y_quant, keepdim=keep)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    [theirs] = run(OP.MEAN, [tensor(x, x_quant), vector(axes)], [empty(ours.shape, y_quant)], options, 2)
    assert_same(ours, theirs)


def test_a_mean_of_many_elements_keeps_its_precision() -> None:
    cases = Cases(5)
    x_quant, y_quant = QuantParams("int8", (0.1,), (-3,)), QuantParams("int8", (0.004,), (11,))
    x = cases.ints((2, 70, 90, 3), x_quant)
    ours = mean(t(x), [1, 2], x_quant, y_quant)
    [theirs] = run(OP.MEAN, [tensor(x, x_quant), vector([1, 2])], [empty((2, 3), y_quant)], schema.ReducerOptionsT(), 2)
    assert_same(ours, theirs)


@pytest.mark.parametrize("seed", seeds(40, always=14))
def test_sums_equal_the_optimised_kernel(seed: int) -> None:
    cases = Cases(seed)
    axes = ([2, 3], [1], [0, 2], [3], [1, 2, 3])[seed % 5]
    shape = tuple(cases.integer(1, 9) for _ in range(4))
    x_quant = cases.quant()
    y_quant = QuantParams("int8", (x_quant.scale[0] * float(cases.rng.uniform(0.5, 30)),), (cases.integer(-128, 127),))
    x = cases.ints(shape, x_quant)
    ours = total(t(x), axes, x_quant, y_quant)
    inputs = [tensor(x, x_quant), vector(axes)]
    options = schema.ReducerOptionsT()
    assert_same(ours, run(OP.SUM, inputs, [empty(ours.shape, y_quant)], options, 2, reference=False)[0])


def test_the_reference_kernel_of_sum_reads_signed_integers_as_unsigned() -> None:
    """Why ``total`` is not that kernel; if this fails, the runtime has been corrected."""
    quant = QuantParams("int8", (1.0,), (0,))
    x = np.asarray([[-1, -2, -3]], np.int8)
    inputs = [tensor(x, quant), vector([1])]
    [theirs] = run(OP.SUM, inputs, [empty((1,), quant)], schema.ReducerOptionsT(), 2)
    assert total(t(x), [1], quant, quant).tolist() == [-6] != theirs.tolist()


@pytest.mark.parametrize("largest", [True, False])
def test_largest_and_smallest_elements_equal_the_runtime(largest: bool) -> None:
    cases = Cases(1)
    quant = cases.quant()
    x = cases.ints((2, 5, 6), quant)
    ours = reduce_extremum(t(x), [1], quant, quant, largest=largest)
    code = OP.REDUCE_MAX if largest else OP.REDUCE_MIN
    inputs = [tensor(x, quant), vector([1])]
    assert_same(ours, run(code, inputs, [empty(ours.shape, quant)], schema.ReducerOptionsT(), 2)[0])


@pytest.mark.parametrize("mode", ["plain", "aligned corners", "half-pixel centres"])
@pytest.mark.parametrize("seed", seeds(15, always=6))
def test_resizes_equal_the_runtime(mode: str, seed: int) -> None:
    cases = Cases(seed)
    quant = cases.quant()
    x = cases.ints((2, 3, cases.integer(1, 9), cases.integer(1, 9)), quant)
    size = (cases.integer(1, 20), cases.integer(1, 20))
    aligned, half = mode == "aligned corners", mode == "half-pixel centres"
    for function, code, options in (
        (resize_bilinear, OP.RESIZE_BILINEAR, schema.ResizeBilinearOptionsT()),
        (resize_nearest, OP.RESIZE_NEAREST_NEIGHBOR, schema.ResizeNearestNeighborOptionsT()),
    ):
        options.alignCorners, options.halfPixelCenters = aligned, half
        ours = function(t(x), size, quant, quant, align_corners=aligned, half_pixel_centers=half)
        [theirs] = run(code, [tensor(nhwc(x), quant), vector(size)], [empty(nhwc(ours.numpy()).shape, quant)], options, 3)
        assert_same(ours, nchw(theirs))


def test_concatenation_joins_equal_scales_and_refuses_others_as_the_runtime_does() -> None:
    cases = Cases(1)
    quant = cases.quant()
    a, b = cases.ints((2, 3, 4), quant), cases.ints((2, 5, 4), quant)
    options = schema.ConcatenationOptionsT()
    options.axis = 1
    ours = concatenate([t(a), t(b)], 1, [quant, quant], quant)
    inputs = [tensor(a, quant), tensor(b, quant)]
    assert_same(ours, run(OP.CONCATENATION, inputs, [empty(ours.shape, quant)], options, 2)[0])
    other = QuantParams("int8", (quant.scale[0] * 2,), quant.zero_point)
    with pytest.raises(Unsupported, match="equal scales"):
        concatenate([t(a), t(b)], 1, [quant, other], quant)
    with pytest.raises(RuntimeError):
        run(OP.CONCATENATION, [tensor(a, quant), tensor(b, other)], [empty(ours.shape, quant)], options, 2)


def test_padding_with_zero_holds_the_zero_point() -> None:
    cases = Cases(2)
    quant = cases.quant()
    x = cases.ints((2, 3, 4, 5), quant)
    ours = pad(t(x), [1, 2, 0, 3], quant, quant)
    paddings = tensor(np.asarray([[0, 0], [0, 0], [0, 3], [1, 2]], np.int32), constant=True)
    [theirs] = run(OP.PAD, [tensor(x, quant), paddings], [empty(ours.shape, quant)], schema.PadOptionsT(), 2)
    assert_same(ours, theirs)


def test_mirrored_padding_equals_the_runtime() -> None:
    cases = Cases(3)
    quant = cases.quant()
    x = cases.ints((2, 3, 4, 5), quant)
    ours = pad(t(x), [2, 1, 3, 0], quant, quant, mode="reflect")
    paddings = tensor(np.asarray([[0, 0], [0, 0], [3, 0], [2, 1]], np.int32), constant=True)
    options = schema.MirrorPadOptionsT()
    options.mode = schema.MirrorPadMode.REFLECT
    [theirs] = run(OP.MIRROR_PAD, [tensor(x, quant), paddings], [empty(ours.shape, quant)], options, 2)
    assert_same(ours, theirs)


def test_a_pool_between_unequal_scales_is_refused() -> None:
    quant, other = QuantParams("int8", (0.1,)), QuantParams("int8", (0.2,))
    x = torch.zeros(1, 1, 2, 2, dtype=torch.int8)
    for function in (average_pool2d, max_pool2d):
        with pytest.raises(Unsupported, match="equal scales"):
            function(x, quant, other, kernel=(2, 2), stride=(2, 2))
