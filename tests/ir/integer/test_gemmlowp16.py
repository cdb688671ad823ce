"""Sigmoid and tanh of 16-bit numbers, beside the functions that they stand for."""

from __future__ import annotations

import pytest
import torch

from edgekit.ir.integer.gemmlowp16 import sigmoid, tanh

EVERY = torch.arange(-(2**15), 2**15)


def test_the_sigmoid_is_within_a_thousandth_of_the_function() -> None:
    real = torch.sigmoid(EVERY.double() / 2**12)
    assert float((sigmoid(EVERY) / 2**15 - real).abs().max()) < 1e-3


@pytest.mark.parametrize("bits", range(7))
def test_the_tangent_is_within_a_thousandth_of_the_function(bits: int) -> None:
    real = torch.tanh(EVERY.double() / 2 ** (15 - bits))
    assert float((tanh(EVERY, bits) / 2**15 - real).abs().max()) < 1e-3
    assert torch.equal(tanh(-EVERY[1:], bits), -tanh(EVERY[1:], bits))
