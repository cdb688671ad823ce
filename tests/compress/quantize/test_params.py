"""Scales and zero points follow their formulas."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.params import activation_params, bias_params, span, weight_params
from edgekit.ir.quantized_data import dequantize, quantize


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (-5.0, 0.0), (2.0, 7.0), (-7.0, -2.0), (-1e-3, 1e3)])
def test_an_activation_range_contains_zero_exactly(low: float, high: float) -> None:
    quant = activation_params(low, high)
    assert quant.qmin <= quant.zero_point[0] <= quant.qmax
    zero = torch.zeros(1)
    assert dequantize(quantize(zero, quant), quant).item() == 0.0
    covered = quant.range
    assert covered[0] <= min(low, 0.0) + quant.scale[0] and covered[1] >= max(high, 0.0) - quant.scale[0]
    assert quant.scale[0] == pytest.approx((max(high, 0.0) - min(low, 0.0)) / 255)


def test_a_range_of_nothing_is_still_a_scale() -> None:
    assert activation_params(0.0, 0.0).scale[0] > 0


def test_sixteen_bit_activations_are_symmetric() -> None:
    quant = activation_params(-1.0, 4.0, "int16")
    assert quant.zero_point == (0,) and quant.scale[0] == pytest.approx(4.0 / 32767)


def test_unsigned_activations_start_at_zero() -> None:
    quant = activation_params(0.0, 1.0, "uint8")
    assert quant.zero_point == (0,) and quant.scale[0] == pytest.approx(1 / 255)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_the_largest_weight_of_a_channel_is_the_largest_integer(axis: int | None) -> None:
    weight = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    quant = weight_params(weight, axis)
    integers = quantize(weight, quant)
    assert quant.narrow and int(integers.min()) >= -127
    channels = [integers] if axis is None else list(integers.unbind(axis))
    assert len(quant.scale) == len(channels)
    assert all(int(c.abs().max()) == 127 for c in channels)


def test_a_floor_keeps_a_dead_channels_scale_sane() -> None:
    weight = torch.tensor([[1.0, -2.0], [0.0, 0.0]])
    assert weight_params(weight, 0, torch.tensor([1e-4, 1e-4])).scale[1] == pytest.approx(1e-4)
    assert weight_params(weight, 0).scale[1] > 0


def test_a_bias_has_the_scale_of_the_accumulator() -> None:
    x, weight = activation_params(-1.0, 1.0), weight_params(torch.tensor([[1.0], [0.5]]), 0)
    bias = bias_params(x, weight)
    assert bias.dtype == "int32" and bias.axis == 0 and bias.zero_point == (0, 0)
    assert bias.scale == pytest.approx([x.scale[0] * s for s in weight.scale], rel=1e-7)
    assert bias_params(x, weight_params(torch.ones(2, 2), None)).axis is None


def test_the_span_is_the_smallest_and_largest_element() -> None:
    assert span(torch.tensor([[3.0, -2.0], [0.5, 1.0]], requires_grad=True)) == (-2.0, 3.0)
