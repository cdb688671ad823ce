"""The integers that exporters, simulation and packer share."""

from __future__ import annotations

import math

import pytest
import torch

from edgekit.errors import InputError, Unsupported
from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import (
    dequantize,
    quantize,
    quantize_bias,
    quantize_constant,
    quantize_weights,
    storage_dtype,
)

PER_CHANNEL = QuantParams("int8", (0.5, 0.25, 2.0), (0, 0, 0), 0, True)


def test_halves_are_rounded_to_even() -> None:
    quant = QuantParams("int8", (1.0,), (0,))
    assert quantize(torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5]), quant).tolist() == [0, 2, 2, 0, -2]


def test_values_beyond_the_range_saturate_and_narrow_leaves_out_the_lowest() -> None:
    x = torch.tensor([-1e9, 1e9, float("-inf"), float("inf")])
    assert quantize(x, QuantParams("int8", (0.1,), (5,))).tolist() == [-128, 127, -128, 127]
    assert quantize(x, QuantParams("int8", (0.1,), (0,), None, True)).tolist() == [-127, 127, -127, 127]
    assert quantize(x, QuantParams("uint8", (0.1,), (3,))).tolist() == [0, 255, 0, 255]
    assert quantize(x * 1e9, QuantParams("int32", (0.1,))).tolist() == [-(2**31), 2**31 - 1] * 2


@pytest.mark.parametrize("dtype", ["int2", "int4", "int8", "uint8", "int16"])
def test_integers_survive_the_way_to_floats_and_back(dtype: str) -> None:
    quant = QuantParams(dtype, (0.0123,), (1,))
    q = torch.arange(quant.qmin, quant.qmax + 1, max(1, (quant.qmax - quant.qmin) // 999)).to(storage_dtype(quant))
    assert torch.equal(quantize(dequantize(q, quant), quant), q)


def test_the_float_module_sees_the_values_of_the_integers() -> None:
    """Dequantised integers are what fake quantisation computes with, per tensor and per channel."""
    torch.manual_seed(0)
    w = torch.randn(3, 5, 2, 2) * 40
    assert torch.equal(dequantize(quantize_weights(w, PER_CHANNEL), PER_CHANNEL), fake_quantize(w, PER_CHANNEL))
    quant = QuantParams("int8", (0.037,), (-11,))
    x = torch.randn(1000) * 3
    assert torch.allclose(dequantize(quantize(x, quant), quant), fake_quantize(x, quant), atol=1e-6)


def test_nan_is_refused_and_infinity_in_a_constant() -> None:
    with pytest.raises(InputError, match="NaN"):
        quantize(torch.tensor([1.0, math.nan]), QuantParams("int8", (0.1,)))
    with pytest.raises(InputError, match="infinity"):
        quantize_weights(torch.tensor([math.inf]), QuantParams("int8", (0.1,)))


def test_a_bias_is_divided_by_its_channels_scales() -> None:
    scales = [0.25, 0.125, 1.0]
    assert quantize_bias(torch.tensor([1.0, -1.0, 2.5]), scales).tolist() == [4, -8, 2]
    assert quantize_bias(torch.tensor([1.0, -1.0]), [0.5]).tolist() == [2, -2]
    assert quantize_bias(torch.tensor([1e6]), [1e-3]).tolist() == [1_000_000_000]
    quant = QuantParams("int32", tuple(scales), (0, 0, 0), 0)
    assert quantize_constant(torch.tensor([1.0, -1.0, 2.5]), quant).tolist() == [4, -8, 2]


def test_a_bias_that_does_not_fit_32_bits_is_refused_by_its_channel() -> None:
    with pytest.raises(Unsupported, match="output channel 1"):
        quantize_bias(torch.tensor([0.5, 100.0]), [1e-3, 1e-9])
