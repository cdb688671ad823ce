"""Operators of one value equal LiteRT's reference kernels for every one of the 256 integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import InputError, Unsupported
from edgekit.ir.integer.hard_swish import hard_swish
from edgekit.ir.integer.inverse_sqrt import inverse_sqrt
from edgekit.ir.integer.lookup import elu, exponential, gelu, logarithm, logistic, tanh
from edgekit.ir.integer.rectifiers import absolute, leaky_relu, prelu, rectify
from edgekit.ir.integer.requantization import dequantize, quantize_op, requantize
from edgekit.ir.quant import QuantParams
from tests.ir.integer.cases import Cases, assert_same, empty, t, tensor
from tests.ir.integer.one_op import run
from tests.seeds import seeds

OP = schema.BuiltinOperator
ALL = np.arange(-128, 128).astype(np.int8)
Function = Callable[[torch.Tensor, QuantParams, QuantParams], torch.Tensor]

LOGISTIC_OUTPUT = QuantParams("int8", (1 / 256,), (-128,))
TANH_OUTPUT = QuantParams("int8", (1 / 128,), (0,))


def gelu_options(approximate: bool) -> Any:
    options = schema.GeluOptionsT()
    options.approximate = approximate
    return options


#: name -> our function, operator, options, version, fixed output or None
UNARY: dict[str, tuple[Function, int, Any, int, QuantParams | None]] = {
    "relu": (lambda x, i, o: rectify(x, "relu", i, o), OP.RELU, None, 2, None),
    "relu6": (lambda x, i, o: rectify(x, "relu6", i, o), OP.RELU6, None, 2, None),
    "relu_n1_to_1": (lambda x, i, o: rectify(x, "relu_n1_to_1", i, o), OP.RELU_N1_TO_1, None, 1, None),
    "abs": (absolute, OP.ABS, schema.AbsOptionsT(), 2, None),
    "logistic": (logistic, OP.LOGISTIC, None, 2, LOGISTIC_OUTPUT),
    "tanh": (tanh, OP.TANH, None, 2, TANH_OUTPUT),
    "tanh at any output scale": (tanh, OP.TANH, None, 2, None),
    "elu": (elu, OP.ELU, None, 1, None),
    "gelu": (gelu, OP.GELU, gelu_options(False), 2, None),
    "gelu by tanh": (lambda x, i, o: gelu(x, i, o, approximate=True), OP.GELU, gelu_options(True), 2, None),
    "exp": (exponential, OP.EXP, schema.ExpOptionsT(), 2, None),
    "log": (logarithm, OP.LOG, None, 2, None),
    "requantisation": (requantize, OP.QUANTIZE, schema.QuantizeOptionsT(), 2, None),
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("seed", seeds(15, always=6))
def test_every_integer_is_mapped_as_the_runtime_maps_it(name: str, seed: int) -> None:
    function, code, options, version, fixed = UNARY[name]
    cases = Cases(seed)
    # Inputs up to 20 in size keep exp() within what the runtime's conversion to an integer can hold.
    x_quant, y_quant = cases.quant(low=1e-3, high=0.08), fixed or cases.quant()
    if name == "abs" and seed % 3 == 0:
        y_quant = QuantParams("int8", x_quant.scale, (-128,))
    ours = function(t(ALL), x_quant, y_quant)
    # ELU is not registered among the reference kernels; the other set has the same table.
    [theirs] = run(code, [tensor(ALL, x_quant)], [empty(ALL.shape, y_quant)], options, version, reference=name != "elu")
    assert_same(ours, theirs)


@pytest.mark.parametrize("seed", seeds(30, always=10))
def test_leaky_relu_equals_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    x_quant, y_quant = cases.quant(), cases.quant()
    options = schema.LeakyReluOptionsT()
    options.alpha = (0.01, 0.2, 0.3, 1.5, 0.0)[seed % 5]
    ours = leaky_relu(t(ALL), options.alpha, x_quant, y_quant)
    assert_same(ours, run(OP.LEAKY_RELU, [tensor(ALL, x_quant)], [empty(ALL.shape, y_quant)], options, 2)[0])


@pytest.mark.parametrize("seed", seeds(60, always=20))
def test_hard_swish_equals_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    x_quant = cases.quant(high=0.3)
    y_quant = QuantParams("int8", (x_quant.scale[0] * float(cases.rng.uniform(0.1, 2)),), (cases.integer(-128, 127),))
    ours = hard_swish(t(ALL), x_quant, y_quant)
    options = schema.HardSwishOptionsT()
    assert_same(ours, run(OP.HARD_SWISH, [tensor(ALL, x_quant)], [empty(ALL.shape, y_quant)], options)[0])


def test_hard_swish_with_an_output_scale_that_the_runtime_refuses_is_refused() -> None:
    x_quant, y_quant = QuantParams("int8", (1.0,)), QuantParams("int8", (1e-3,))
    with pytest.raises(Unsupported, match="too small"):
        hard_swish(t(ALL), x_quant, y_quant)
    with pytest.raises(RuntimeError):
        run(OP.HARD_SWISH, [tensor(ALL, x_quant)], [empty(ALL.shape, y_quant)], schema.HardSwishOptionsT())


@pytest.mark.parametrize("seed", seeds(20, always=8))
def test_prelu_with_a_slope_per_channel_equals_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    x_quant, w_quant, y_quant = cases.quant(), cases.quant(), cases.quant()
    x, slope = cases.ints((2, 3, 4, 5), x_quant), cases.ints((1, 1, 5), w_quant)
    ours = prelu(t(x), t(slope), x_quant, w_quant, y_quant)
    assert_same(ours, run(OP.PRELU, [tensor(x, x_quant), tensor(slope, w_quant, constant=True)], [empty(x.shape, y_quant)])[0])


@pytest.mark.parametrize("seed", seeds(20, always=8))
def test_inverse_square_roots_equal_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    zero = cases.integer(-128, 100)
    x = np.arange(zero, 128).astype(np.int8)
    x_quant = QuantParams("int8", (cases.scale(),), (zero,))
    y_quant = QuantParams("int8", (cases.scale(1e-2, 0.5),), (cases.integer(-128, 127),))
    ours = inverse_sqrt(t(x), x_quant, y_quant)
    assert_same(ours, run(OP.RSQRT, [tensor(x, x_quant)], [empty(x.shape, y_quant)], None, 2)[0])


def test_the_inverse_square_root_of_a_negative_number_is_refused_as_in_the_runtime() -> None:
    quant = QuantParams("int8", (0.1,), (0,))
    with pytest.raises(InputError, match="negative"):
        inverse_sqrt(t(ALL), quant, quant)
    with pytest.raises(RuntimeError):
        run(OP.RSQRT, [tensor(ALL, quant)], [empty(ALL.shape, quant)], None, 2)


@pytest.mark.parametrize(("source", "target"), [("int8", "uint8"), ("uint8", "int8"), ("uint8", "uint8")])
@pytest.mark.parametrize("seed", range(8))
def test_signed_and_unsigned_integers_are_requantised_as_in_the_runtime(source: str, target: str, seed: int) -> None:
    cases = Cases(seed)
    x_quant, y_quant = cases.quant(source), cases.quant(target)
    if seed == 0:  # only the sign bit is exchanged
        y_quant = QuantParams(target, x_quant.scale, (x_quant.zero_point[0] + {"int8": 0, "uint8": 128}[target],))
    x = np.arange(-128, 128).astype(np.int8) if source == "int8" else np.arange(256).astype(np.uint8)
    if seed == 0 and source == target:
        y_quant = x_quant
    ours = requantize(t(x), x_quant, y_quant)
    assert_same(ours, run(OP.QUANTIZE, [tensor(x, x_quant)], [empty(x.shape, y_quant)], schema.QuantizeOptionsT(), 2)[0])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("seed", range(10))
def test_floats_are_quantised_and_back_as_in_the_runtime(dtype: str, seed: int) -> None:
    cases = Cases(seed)
    quant = cases.quant(dtype)
    x = (cases.rng.normal(size=4000) * quant.scale[0] * 200).astype(np.float32)
    # Exact halves, and the floats next to them.
    half = ((np.arange(-300, 300) + 0.5) * quant.scale[0]).astype(np.float32)
    x = np.concatenate([x, half, np.nextafter(half, np.float32(np.inf)), np.nextafter(half, np.float32(-np.inf))])
    ours = quantize_op(t(x), quant)
    assert_same(ours, run(OP.QUANTIZE, [tensor(x)], [empty(x.shape, quant)], schema.QuantizeOptionsT())[0])
    q = cases.ints((500,), quant)
    floats = tensor(np.zeros(q.shape, np.float32))
    assert_same(dequantize(t(q), quant), run(OP.DEQUANTIZE, [tensor(q, quant)], [floats], schema.DequantizeOptionsT(), 2)[0])


def test_a_float_just_below_a_half_is_not_rounded_up() -> None:
    quant = QuantParams("int8", (1.0,))
    assert quantize_op(torch.tensor([0.49999997, 0.5, -0.5, 2.5]), quant).tolist() == [0, 1, -1, 3]


def test_infinities_saturate() -> None:
    quant = QuantParams("int8", (1.0,))
    assert quantize_op(torch.tensor([float("inf"), float("-inf"), 1e30]), quant).tolist() == [127, -128, 127]


def test_a_sigmoid_output_scale_that_the_runtime_refuses_is_refused() -> None:
    quant = QuantParams("int8", (1 / 128,), (-128,))
    with pytest.raises(Unsupported, match="1/256"):
        logistic(t(ALL), QuantParams("int8", (0.1,)), quant)
