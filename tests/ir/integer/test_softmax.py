"""The integer softmax equals LiteRT's reference kernel in every bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.ir.integer.gemmlowp import exp_on_negative, leading_zeros, one_over_one_plus
from edgekit.ir.integer.softmax import SOFTMAX_OUTPUT, softmax
from edgekit.ir.quant import QuantParams
from tests.ir.integer.cases import Cases, assert_same, empty, t, tensor
from tests.ir.integer.one_op import run
from tests.seeds import seeds


@pytest.mark.parametrize("seed", seeds(60, always=20))
def test_a_softmax_at_any_input_scale_equals_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    rows, depth = cases.integer(1, 20), (1, 2, 10, 12, 100, 1000)[seed % 6]
    x_quant = cases.quant(low=1e-4 if depth < 512 else 0.1, high=3.0)
    x = cases.ints((2, rows, depth), x_quant, (1.0, 0.3)[seed % 2])
    ours = softmax(t(x), -1, x_quant)
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    [theirs] = run(schema.BuiltinOperator.SOFTMAX, [tensor(x, x_quant)], [empty(x.shape, SOFTMAX_OUTPUT)], options, 2)
    assert_same(ours, theirs)


def test_any_axis_can_be_normalised() -> None:
    cases = Cases(3)
    x_quant = cases.quant(low=0.05, high=0.2)
    x = t(cases.ints((2, 5, 7), x_quant))
    assert torch.equal(softmax(x, 1, x_quant), softmax(x.transpose(1, 2), -1, x_quant).transpose(1, 2))


def test_what_the_runtime_refuses_or_overflows_on_is_refused() -> None:
    quant = QuantParams("int8", (0.1,))
    x = torch.zeros(1, 4, dtype=torch.int8)
    with pytest.raises(Unsupported, match="1/256"):
        softmax(x, -1, quant, QuantParams("int8", (0.1,), (-128,)))
    assert softmax(torch.zeros(1, 511, dtype=torch.int8), -1, quant).flatten().tolist() == [-127] * 511
    with pytest.raises(Unsupported, match="would abort"):
        softmax(torch.zeros(1, 512, dtype=torch.int8), -1, quant)


def test_the_fixed_point_functions_are_close_to_the_real_ones() -> None:
    x = torch.arange(-(2**31) + 1, 1, 10_000_019)
    expected = torch.exp(x.double() / 2**26)
    assert (exp_on_negative(x).double() / 2**31 - expected).abs().max() < 2e-7
    y = torch.arange(0, 2**31, 10_000_019)
    assert (one_over_one_plus(y).double() / 2**31 - 1 / (1 + y.double() / 2**31)).abs().max() < 1e-7
    assert leading_zeros(torch.tensor([1, 2, 3, 2**30, 2**31 - 1])).tolist() == [31, 30, 30, 1, 1]
    assert np.isclose(float(one_over_one_plus(torch.tensor(0))) / 2**31, 1.0)
