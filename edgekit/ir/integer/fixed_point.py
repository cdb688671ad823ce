"""Scaling by a real number in integer arithmetic, as LiteRT 2.3's reference kernels do it.

A real multiplier is held as a 31-bit significand and an exponent. ``rescale`` then rounds **twice**: the doubling high
multiplication rounds half up (towards plus infinity), the following right shift rounds half away from zero (gemmlowp's
``SaturatingRoundingDoublingHighMul`` and ``RoundingDivideByPOT``). LiteRT 2.3 is built this way: about one in six results of
small accumulators differs from a single rounding, which the tests show against the runtime. Fully connected layers do not use
it (``linear``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

#: Tensors are worked through in pieces of about this many elements, so that the intermediate results stay in the processor's
#: cache.
_PIECE = 1 << 15


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``real ~ significand * 2**(shift - 31)`` with a significand in [2**30, 2**31); (0, 0) for zero and for less than
    2**-32.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    # Rounds half away from zero. The sum is exact: a double's fraction has 53 bits, of which 31 are before the point here.
    significand = int(math.copysign(math.floor(abs(fraction) * 2**31 + 0.5), fraction))
    if abs(significand) == 2**31:
        significand //= 2
        shift += 1
    return (0, 0) if shift < -31 else (significand, shift)


def quantize_multipliers(reals: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """``quantize_multiplier`` of each, as two int64 vectors."""
    pairs = [quantize_multiplier(real) for real in reals]
    return torch.tensor([p[0] for p in pairs], dtype=torch.int64), torch.tensor([p[1] for p in pairs], dtype=torch.int64)


def wrap_int32(x: torch.Tensor) -> torch.Tensor:
    """The value a 32-bit register holds after ``x`` (int64) was stored in it."""
    return x.to(torch.int32).to(torch.int64)


def high_multiply(a: torch.Tensor, b: torch.Tensor | int) -> torch.Tensor:
    """``a * b / 2**31`` of 32-bit numbers held as int64, rounded half up. ``b`` is not negative."""
    return (a * b + (1 << 30)) >> 31


def divide_by_power_of_two(x: torch.Tensor, exponent: torch.Tensor | int) -> torch.Tensor:
    """``x / 2**exponent`` rounded half away from zero; int64, exponent 0 to 31."""
    if isinstance(exponent, int):
        return x if exponent == 0 else (x + (1 << (exponent - 1)) + (x >> 63)) >> exponent
    half = (torch.ones_like(exponent) << exponent) >> 1
    # A negative number lacks one to round its half downwards; where nothing is shifted out there is nothing to round.
    return (x + half + ((x >> 63) & -(exponent > 0).to(torch.int64))) >> exponent


def rescale(x: torch.Tensor, significand: torch.Tensor | int, shift: torch.Tensor | int) -> torch.Tensor:
    """``x * significand * 2**(shift - 31)`` with LiteRT's two roundings.

    ``x`` is int64 with values of 32-bit range; ``significand`` (not negative) and ``shift`` are numbers or tensors that
    broadcast against it. A left shift that leaves 32 bits wraps around, as in the runtime. Returns int64.
    """
    if isinstance(shift, int):
        if shift > 0:
            return high_multiply(wrap_int32(x << shift), significand)
        return divide_by_power_of_two(high_multiply(x, significand), -shift)
    if bool((shift > 0).any()):
        x = wrap_int32(x << shift.clamp(min=0))
    return divide_by_power_of_two(high_multiply(x, significand), (-shift).clamp(min=0))


def rescale_wide(x: torch.Tensor, significand: torch.Tensor | int, shift: torch.Tensor | int) -> torch.Tensor:
    """``x * significand * 2**(shift - 31)`` of 64-bit sums, as the kernels of 16-bit activations compute it.

    The significand is brought to 15 bits, so that the product of a sum below 2**47 fits 64; rounds once, half up.
    """
    if isinstance(significand, int):
        significand, shift = torch.tensor(significand), torch.as_tensor(shift)
    reduced = torch.where(significand < 0x7FFF0000, (significand + (1 << 15)) >> 16, 0x7FFF)
    right = 15 - torch.as_tensor(shift)
    return (x * reduced + (torch.ones_like(right) << (right - 1))) >> right


def rescale_to(
    x: torch.Tensor,
    significand: torch.Tensor | int,
    shift: torch.Tensor | int,
    zero_point: int,
    low: int,
    high: int,
    dtype: torch.dtype,
    offset: torch.Tensor | None = None,
    scale_by: Callable[[torch.Tensor, torch.Tensor | int, torch.Tensor | int], torch.Tensor] = rescale,
) -> torch.Tensor:
    """``clamp(scale_by(x + offset) + zero_point, low, high)`` as ``dtype``, worked through in pieces along axis 0.

    ``x`` holds integers in any numeric dtype; axis 0 is the sample. ``significand`` and ``shift`` are numbers or, like
    ``offset``, int64 tensors that broadcast against ``x`` with size 1 along axis 0.
    """
    result = torch.empty(x.shape, dtype=dtype)
    if x.numel() == 0:
        return result
    rows = max(1, _PIECE * x.shape[0] // x.numel())
    for start in range(0, x.shape[0], rows):
        piece = x[start : start + rows].to(torch.int64)
        if offset is not None:
            piece = piece + offset
        result[start : start + rows] = scale_by(piece, significand, shift).add_(zero_point).clamp_(low, high)
    return result
