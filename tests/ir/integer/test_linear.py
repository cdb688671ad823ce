"""Fully connected layers and matrix products equal LiteRT's reference kernels in every bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.ir.integer.linear import linear, matmul
from edgekit.ir.quant import QuantParams
from tests.ir.integer.cases import Cases, assert_same, empty, t, tensor
from tests.ir.integer.one_op import run
from tests.seeds import seeds

OP = schema.BuiltinOperator


@pytest.mark.parametrize("seed", seeds(60, always=20))
def test_a_fully_connected_layer_per_tensor_or_per_channel_equals_the_runtime(seed: int) -> None:
    cases = Cases(seed)
    n, k, o = cases.integer(1, 4), cases.integer(1, 300), cases.integer(1, 20)
    x_quant = cases.quant()
    x = cases.ints((n, k), x_quant)
    weight = cases.rng.integers(-127, 128, (o, k)).astype(np.int8)
    per_channel = o > 1 and seed % 2 == 0
    w_quant = (
        QuantParams("int8", tuple(cases.scale(1e-4, 0.02) for _ in range(o)), (0,) * o, 0, True)
        if per_channel
        # A zero point is unusual for weights, but the kernel takes one per tensor.
        else QuantParams("int8", (cases.scale(1e-4, 0.02),), (cases.integer(-5, 5) if seed % 4 == 1 else 0,))
    )
    bias = None if seed % 5 == 0 else cases.rng.integers(-5000, 5000, o).astype(np.int32)
    scale = x_quant.scale[0] * sorted(w_quant.scale)[len(w_quant.scale) // 2] * 60 * np.sqrt(k) * cases.rng.uniform(0.2, 2)
    y_quant = QuantParams("int8", (float(scale),), (cases.integer(-128, 127),))
    name, number = (("none", 0), ("relu", 1), ("relu6", 3))[seed % 3]
    ours = linear(t(x), t(weight), None if bias is None else t(bias), x_quant, w_quant, y_quant, activation=name)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = number
    scales = tuple(x_quant.scale[0] * s for s in w_quant.scale)
    bias_quant = QuantParams("int32", scales, (0,) * len(scales), w_quant.axis)
    inputs = [tensor(x, x_quant), tensor(weight, w_quant, constant=True)]
    inputs.append(None if bias is None else tensor(bias, bias_quant, constant=True))  # type: ignore[arg-type]
    [theirs] = run(OP.FULLY_CONNECTED, inputs, [empty((n, o), y_quant)], options, 4)  # type: ignore[arg-type]
    assert_same(ours, theirs)


def test_a_tie_is_rounded_away_from_zero() -> None:
    """The fully connected kernel alone rounds once, in double precision; a convolution rounds -1.5 to -1."""
    x_quant, w_quant, y_quant = QuantParams("int8", (0.5,)), QuantParams("int8", (1.0,)), QuantParams("int8", (1.0,))
    x = torch.tensor([[-3], [-1], [1], [3]], dtype=torch.int8)
    assert linear(x, torch.ones(1, 1, dtype=torch.int8), None, x_quant, w_quant, y_quant).flatten().tolist() == [-2, -1, 1, 2]


@pytest.mark.parametrize("seed", seeds(40, always=14))
def test_a_matrix_product_of_two_activations_equals_the_runtime(seed: int) -> None:
    cases = Cases(100 + seed)
    m, k, n = cases.integer(1, 6), cases.integer(1, 400), cases.integer(1, 6)
    batches = ([], [3], [2, 3])[seed % 3]
    a_quant, b_quant = cases.quant(), cases.quant()
    a, b = cases.ints((*batches, m, k), a_quant), cases.ints((*batches, k, n), b_quant)
    if seed % 3 == 2:
        b = b[:1]  # a batch dimension that broadcasts
    y_scale = a_quant.scale[0] * b_quant.scale[0] * 60 * 100 * np.sqrt(k) * cases.rng.uniform(0.2, 2)
    y_quant = QuantParams("int8", (float(y_scale),), (cases.integer(-128, 127),))
    ours = matmul(t(a), t(b), a_quant, b_quant, y_quant)
    options = schema.BatchMatMulOptionsT()
    adjoint = seed % 2 == 1
    options.adjY = adjoint
    given = np.ascontiguousarray(np.swapaxes(b, -1, -2)) if adjoint else b
    [theirs] = run(OP.BATCH_MATMUL, [tensor(a, a_quant), tensor(given, b_quant)], [empty(ours.shape, y_quant)], options, 4)
    assert_same(ours, theirs)


def test_types_without_an_integer_kernel_are_refused() -> None:
    quant = QuantParams("int8", (0.1,))
    with pytest.raises(Unsupported, match="uint8"):
        linear(torch.zeros(1, 1), torch.zeros(1, 1), None, QuantParams("uint8", (0.1,)), quant, quant)
    with pytest.raises(Unsupported, match="not one per channel"):
        matmul(torch.zeros(1, 2), torch.zeros(2, 2), quant, QuantParams("int8", (0.1, 0.2), (0, 0), 0), quant)
