"""Elementwise arithmetic on two values equals LiteRT's reference kernels in every bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.ir.integer.arithmetic import add, extremum, multiply, squared_difference, subtract
from edgekit.ir.quant import QuantParams
from tests.ir.integer.cases import Cases, assert_same, empty, t, tensor
from tests.ir.integer.one_op import run
from tests.seeds import seeds

OP = schema.BuiltinOperator
#: Shapes that broadcast, in one layout (elementwise operators do not look at it).
SHAPES = (
    ((2, 5, 7), (2, 5, 7)),
    ((2, 5, 7), (7,)),
    ((2, 5, 7), (1,)),
    ((2, 1, 7), (1, 5, 1)),
    ((3, 4, 5, 6), (3, 1, 1, 6)),
    ((6,), (4, 6)),
)
OPERATORS: dict[str, tuple[Any, int, Any]] = {
    "add": (add, OP.ADD, schema.AddOptionsT),
    "sub": (subtract, OP.SUB, schema.SubOptionsT),
    "mul": (multiply, OP.MUL, schema.MulOptionsT),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("seed", seeds(30, always=10))
def test_sums_differences_and_products_equal_the_runtime(name: str, seed: int) -> None:
    function, code, options_class = OPERATORS[name]
    cases = Cases(seed * 10 + len(name))
    a_shape, b_shape = SHAPES[seed % len(SHAPES)]
    a_quant, b_quant, y_quant = cases.quant(), cases.quant(), cases.quant()
    if name == "mul":
        y_quant = QuantParams("int8", (a_quant.scale[0] * b_quant.scale[0] * float(cases.rng.uniform(1, 100)),), (3,))
    a, b = cases.ints(a_shape, a_quant), cases.ints(b_shape, b_quant)
    activation, number = (("none", 0), ("relu", 1), ("relu6", 3), ("relu_n1_to_1", 2))[seed % 4]
    ours = function(t(a), t(b), a_quant, b_quant, y_quant, activation=activation)
    options = options_class()
    options.fusedActivationFunction = number
    [theirs] = run(code, [tensor(a, a_quant), tensor(b, b_quant)], [empty(ours.shape, y_quant)], options, 2)
    assert_same(ours, theirs)


@pytest.mark.parametrize("seed", seeds(20, always=8))
def test_squared_differences_equal_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    a_shape, b_shape = SHAPES[seed % len(SHAPES)]
    a_quant, b_quant = cases.quant(), cases.quant()
    y_quant = QuantParams("int8", ((a_quant.scale[0] + b_quant.scale[0]) ** 2 * float(cases.rng.uniform(2, 300)),), (-128,))
    a, b = cases.ints(a_shape, a_quant), cases.ints(b_shape, b_quant)
    ours = squared_difference(t(a), t(b), a_quant, b_quant, y_quant)
    options = schema.SquaredDifferenceOptionsT()
    [theirs] = run(OP.SQUARED_DIFFERENCE, [tensor(a, a_quant), tensor(b, b_quant)], [empty(ours.shape, y_quant)], options, 2)
    assert_same(ours, theirs)


@pytest.mark.parametrize("largest", [True, False])
def test_maximum_and_minimum_compare_integers(largest: bool) -> None:
    cases = Cases(1)
    quant = cases.quant()
    a, b = cases.ints((2, 5, 7), quant), cases.ints((5, 1), quant)
    ours = extremum(t(a), t(b), quant, quant, quant, largest=largest)
    code = OP.MAXIMUM if largest else OP.MINIMUM
    inputs = [tensor(a, quant), tensor(b, quant)]
    assert_same(ours, run(code, inputs, [empty(ours.shape, quant)], schema.MaximumMinimumOptionsT(), 2)[0])
    other = QuantParams("int8", (quant.scale[0] * 2,), quant.zero_point)
    with pytest.raises(Unsupported, match="equal scales"):
        extremum(t(a), t(b), quant, other, quant, largest=largest)


def test_an_output_scale_that_would_abort_the_runtime_is_refused() -> None:
    quant, tiny = QuantParams("int8", (1.0,)), QuantParams("int8", (1e-7,))
    x = torch.zeros(2, dtype=torch.int8)
    with pytest.raises(Unsupported, match="the runtime would abort"):
        add(x, x, quant, quant, tiny)
    with pytest.raises(Unsupported, match="the runtime would abort"):
        squared_difference(x, x, quant, quant, tiny)
