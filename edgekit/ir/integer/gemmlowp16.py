"""Sigmoid and tanh of 16-bit fixed-point numbers, as gemmlowp defines them and LiteRT's integer LSTM uses them.

A number in format Qm.(15-m) is its 16-bit integer divided by ``2**(15 - m)``. Formulas: gemmlowp, ``fixedpoint/fixedpoint.h``
(Apache-2.0), restated for all 65536 numbers at once: each function is a table.
"""

from __future__ import annotations

from functools import cache

import torch

from edgekit.ir.integer.fixed_point import divide_by_power_of_two

_MAX, _MIN = 2**15 - 1, -(2**15)
#: One in Q2.13.
_ONE2 = 1 << 13


def _constant(wide: int) -> int:
    """A constant that is given with 32 bits."""
    return int(divide_by_power_of_two(torch.tensor(wide), 16).clamp(_MIN, _MAX))


def _saturated(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(_MIN, _MAX)


def _multiply(a: torch.Tensor, b: torch.Tensor | int) -> torch.Tensor:
    """``a * b / 2**15`` rounded to the nearest, halves upwards."""
    product = a * b
    nudge = torch.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return _saturated(torch.div(product + nudge, 1 << 15, rounding_mode="trunc"))


def _exp_within_quarter(a: torch.Tensor) -> torch.Tensor:
    """``exp(a)`` for -1/4 <= a < 0, both Q0.15: a Taylor series around -1/8."""
    at = _constant(1895147668)
    x = a + (1 << 12)
    x2 = _multiply(x, x)
    x3, x4 = _multiply(x2, x), _multiply(x2, x2)
    third = _multiply(divide_by_power_of_two(x4, 2) + x3, _constant(715827883))
    tail = divide_by_power_of_two(third + x2, 1)
    return _saturated(at + _multiply(x + tail, at))


def _exp_on_negative(a: torch.Tensor, bits: int) -> torch.Tensor:
    """``exp(a)`` as Q0.15 of ``a <= 0`` with so many integer bits: the series, and a constant for each binary digit above."""
    fraction = 15 - bits
    quarter = 1 << (fraction - 2)
    within = (a & (quarter - 1)) - quarter
    result = _exp_within_quarter(_saturated(within << bits))
    remainder = within - a
    factors = {-2: 1672461947, -1: 1302514674, 0: 790015084, 1: 290630308, 2: 39332535, 3: 720401, 4: 242}
    for exponent, factor in factors.items():
        if bits > exponent:
            has = (remainder >> (fraction + exponent)) & 1 == 1
            result = torch.where(has, _multiply(result, _constant(factor)), result)
    if bits > 5:
        result = torch.where(a < _constant(-(1 << (36 - bits))), 0, result)
    return torch.where(a == 0, _MAX, result)


def _newton(x: torch.Tensor) -> torch.Tensor:
    """``2 / (1 + x)`` as Q2.13 of ``x`` in [0, 1) as Q0.15: three Newton-Raphson steps."""
    half = (x + _MAX + 1) >> 1
    estimate = _constant(1515870810) + _multiply(half, _constant(-1010580540))
    for _ in range(3):
        error = _ONE2 - _multiply(half, estimate)
        estimate = estimate + _saturated(_multiply(estimate, error) << 2)
    return estimate


def _all() -> torch.Tensor:
    return torch.arange(_MIN, _MAX + 1)


@cache
def _sigmoids() -> torch.Tensor:
    x = _all()
    positive = _saturated(_newton(_exp_on_negative(-x.abs().clamp(max=_MAX), 3)) << 1)
    return torch.where(x == 0, 1 << 14, torch.where(x > 0, positive, _MAX - positive))


@cache
def _tangents(bits: int) -> torch.Tensor:
    x = _all()
    size = -x.abs()
    size = torch.where(x > 0, size, x)  # the most negative number has no positive one
    result = _saturated((_newton(_exp_on_negative(size, bits + 1)) - _ONE2) << 2)
    return torch.where(x == 0, 0, torch.where(x < 0, -result, result))


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """``1 / (1 + exp(-x))`` as Q0.15 of Q3.12; int64 in and out."""
    return _sigmoids()[x - _MIN]


def tanh(x: torch.Tensor, bits: int) -> torch.Tensor:
    """``tanh(x)`` as Q0.15 of a number with 0 to 6 integer bits; int64 in and out."""
    return _tangents(bits)[x - _MIN]
