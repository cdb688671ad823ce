"""Integer sums of products computed in floating point, with proof that no rounding happens.

The partial sums of a convolution or a matrix product are integers of size at most ``max over channels of sum |w|`` times
``max |x - z|``. While that is at most 2**24 (float32) or 2**53 (float64), every partial sum is represented exactly in
whatever order it is formed, so the result is the integer one. The bound is taken from the actual weights: nearly every layer
of a real network fits float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgekit.ir.integer.activation_range import activation_range
from edgekit.ir.integer.fixed_point import quantize_multipliers, rescale, rescale_to, rescale_wide, wrap_int32
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import storage_dtype


def centred(x: torch.Tensor, quant: QuantParams, dtype: torch.dtype) -> torch.Tensor:
    """``x - zero_point`` in a floating dtype (exact)."""
    return x.to(dtype) - quant.zero_point[0]


def largest(quant: QuantParams) -> int:
    """The largest ``|x - zero_point|`` that these parameters allow."""
    return max(quant.qmax - quant.zero_point[0], quant.zero_point[0] - quant.qmin)


def bound_of(weights: torch.Tensor, input_quant: QuantParams) -> int:
    """The largest possible sum of products: ``weights`` is (output channels, products per output), integers."""
    return int(weights.to(torch.int64).abs().sum(1).max()) * largest(input_quant)


def exact_dtype(bound: int) -> torch.dtype:
    """The fastest floating dtype in which integer sums up to ``bound`` are exact, given how torch is set up now."""
    if bound <= 1 << 24 and _float32_is_float32():
        return torch.float32
    if bound <= 1 << 53:
        return torch.float64
    raise ValueError(f"sums up to {bound} are exact in no floating dtype")


def _float32_is_float32() -> bool:
    """Whether float32 products are computed as such: not under autocast, and not with reduced precision allowed by the
    caller.
    """
    return torch.get_float32_matmul_precision() == "highest" and not torch.is_autocast_enabled("cpu")


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Keeps torch from convolution algorithms that transform the data and round (NNPACK's Winograd and Fourier)."""
    with torch.backends.nnpack.flags(enabled=False):
        yield


def to_output(
    sums: torch.Tensor,
    bound: int,
    bias: torch.Tensor | None,
    input_quant: QuantParams,
    weight_quant: QuantParams,
    output_quant: QuantParams,
    activation: str,
    channel_axis: int = 1,
) -> torch.Tensor:
    """Adds the bias and rescales by ``s_x * s_w / s_y`` per channel in fixed point, as the convolutions do.

    Sums of 8-bit activations are 32-bit integers, those of 16-bit ones 64-bit. ``sums`` are integer sums of products of any
    numeric dtype, at most ``bound`` in size; axis 0 is the sample, ``channel_axis`` the output channel. ``bias`` is int32 (C,),
    int64 beside 16-bit activations, or None. The three quants give the multiplier; ``activation`` is a name that
    ``activation_range`` knows.

    Returns:
        Integers of the output's storage dtype, same shape.
    """
    channels = sums.shape[channel_axis]
    shape = [1] * sums.dim()
    shape[channel_axis] = channels
    scales = weight_quant.scale if weight_quant.per_channel else weight_quant.scale * channels
    # In double precision and in this order: s_x * s_w, then / s_y.
    significand, shift = quantize_multipliers([input_quant.scale[0] * scale / output_quant.scale[0] for scale in scales])
    low, high = activation_range(activation, output_quant)
    offset = None if bias is None else bias.to(torch.int64).reshape(shape)
    wide = output_quant.dtype == "int16"
    if not wide and bound + (0 if offset is None else int(offset.abs().max())) >= 1 << 31:
        sums = sums.to(torch.int64)
        sums, offset = wrap_int32(sums if offset is None else sums + offset), None
    return rescale_to(
        sums,
        significand.reshape(shape),
        shift.reshape(shape),
        output_quant.zero_point[0],
        low,
        high,
        storage_dtype(output_quant),
        offset,
        rescale_wide if wide else rescale,
    )
