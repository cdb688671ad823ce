"""Transcendental functions of 32-bit fixed-point numbers, as gemmlowp defines them and LiteRT's reference kernels use them.

A number in format Qm.(31-m) is its 32-bit integer divided by ``2**(31 - m)``; all are held as int64. Products of Q0.31
numbers are ``fixed_point.high_multiply``. Formulas: gemmlowp, ``fixedpoint/fixedpoint.h`` (Apache-2.0), restated.
"""

from __future__ import annotations

import torch

from edgekit.ir.integer.fixed_point import divide_by_power_of_two

_MAX = 2**31 - 1
_MIN = -(2**31)


def multiply(a: torch.Tensor, b: torch.Tensor | int) -> torch.Tensor:
    """Fixed-point product: ``a * b / 2**31`` rounded half up, saturating only for minus one times minus one (which does not
    occur).
    """
    return (a * b + (1 << 30)) >> 31


def shift_left_saturating(x: torch.Tensor, bits: int) -> torch.Tensor:
    """``x * 2**bits`` held within 32 bits."""
    return (x << bits).clamp(_MIN, _MAX)


def exp_on_negative(x: torch.Tensor) -> torch.Tensor:
    """``exp(x)`` as Q0.31 for ``x <= 0`` in Q5.26: a Taylor series within a quarter, then a product of constants for the
    binary digits.
    """
    quarter = 1 << 24
    within = (x & (quarter - 1)) - quarter
    # Around -1/8: exp(-1/8) * (1 + t + t^2/2 + t^3/6 + t^4/24), in Q0.31.
    t = shift_left_saturating(within, 5) + (1 << 28)
    t2 = multiply(t, t)
    t3 = multiply(t2, t)
    t4 = divide_by_power_of_two(multiply(t2, t2), 2)
    tail = divide_by_power_of_two(multiply(t4 + t3, 715827883) + t2, 1)
    result = 1895147668 + multiply(t + tail, 1895147668)
    # exp(-2^k) for k = -2 .. 4, Q0.31.
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    remainder = within - x
    for bit, factor in enumerate(factors, start=24):
        result = torch.where((remainder >> bit) & 1 == 1, multiply(result, factor), result)
    return torch.where(x == 0, _MAX, result)


def one_over_one_plus(x: torch.Tensor) -> torch.Tensor:
    """``1 / (1 + x)`` as Q0.31 for ``x`` in [0, 1) as Q0.31: three Newton-Raphson steps in Q2.29."""
    half_denominator = (x + _MAX + 1) >> 1
    estimate = 1515870810 + multiply(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - multiply(half_denominator, estimate)
        estimate = estimate + shift_left_saturating(multiply(estimate, error), 2)
    # The result is half of the estimate: Q2.29 read as Q1.30, then brought to Q0.31.
    return shift_left_saturating(estimate, 1)


def leading_zeros(x: torch.Tensor) -> torch.Tensor:
    """Leading zero bits of a positive 32-bit integer."""
    # frexp's exponent of a double is the number of bits of the integer.
    return 32 - torch.frexp(x.to(torch.float64)).exponent.to(torch.int64)


def inverse_sqrt_multiplier(x: int) -> tuple[int, int]:
    """Significand and shift (negative: to the right) of ``1 / sqrt(x)`` for a positive integer, by Newton-Raphson in Q3.28."""
    if x <= 1:
        return _MAX, 0
    shift = 11
    while x >= 1 << 29:
        x //= 4
        shift += 1
    pairs = (32 - x.bit_length() - 1) // 2 - 1
    shift -= pairs
    value = torch.tensor(x << (2 * pairs) >> 1)
    half_input = divide_by_power_of_two(value, 1)
    estimate = torch.tensor(1 << 28)
    for _ in range(5):
        # Products in Q3 give Q6, then Q9; they are brought back to Q3.28.
        cube = shift_left_saturating(multiply(multiply(estimate, estimate), estimate), 6)
        difference = multiply(estimate, (1 << 28) + (1 << 27)) - multiply(half_input, cube)
        estimate = shift_left_saturating(difference, 3)
    result = int(multiply(estimate, 1518500250))
    if shift < 0:
        result, shift = result << -shift, 0
    return result, -shift
