"""CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgekit.ir.integer.accumulate import bound_of, centred, exact_convolutions, exact_dtype, to_output
from edgekit.ir.integer.activation_range import BOTH, require, require_one_type
from edgekit.ir.quant import QuantParams

#: Rows and columns added or cut: ((top, bottom), (left, right)).
Padding = tuple[tuple[int, int], tuple[int, int]]


def conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    input_quant: QuantParams,
    weight_quant: QuantParams,
    output_quant: QuantParams,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    activation: str = "none",
) -> torch.Tensor:
    """A convolution as TFLite's CONV_2D computes it, and with ``groups`` equal to the channels as DEPTHWISE_CONV_2D does.

    Padding holds the input's zero point, that is, a real zero. Sums are 32-bit integers (64-bit ones of 16-bit activations),
    rescaled per output channel with ``fixed_point.rescale``. A weight's zero point is ignored, as in the runtime: weights are
    symmetric.

    ``x`` is int8 or int16 (N, C, H, W), ``weight`` integers (O, C / groups, KH, KW) with one scale or one per output channel,
    ``bias`` int32 or int64 (O,) at scale ``s_x * s_w`` or None. Stride, dilation and groups are torch's; ``activation`` is a
    name that ``activation_range`` knows.

    Returns:
        (N, O, OH, OW) of the type of ``x``.

    Raises:
        Unsupported: types other than int8 and int16 activations with weights of at most 8 bits.
    """
    require("a convolution", input_quant, output_quant, dtypes=BOTH)
    require_one_type("a convolution", input_quant, output_quant)
    bound = bound_of(weight.reshape(weight.shape[0], -1), input_quant)
    dtype = exact_dtype(bound)
    (top, bottom), (left, right) = padding
    data = centred(x, input_quant, dtype)
    same = top == bottom and left == right
    if not same:
        data = F.pad(data, (left, right, top, bottom))
    with exact_convolutions():
        sums = F.conv2d(data, weight.to(dtype), None, stride, (top, left) if same else 0, dilation, groups)
    return to_output(sums, bound, bias, input_quant, weight_quant, output_quant, activation)


def conv_transpose2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    input_quant: QuantParams,
    weight_quant: QuantParams,
    output_quant: QuantParams,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    output_padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    activation: str = "none",
) -> torch.Tensor:
    """A transposed convolution as TFLite's TRANSPOSE_CONV computes it.

    ``x`` is int8 (N, C, H, W), ``weight`` integers (C, O / groups, KH, KW), torch's order, with one scale or one per output
    channel, ``bias`` int32 (O,) at scale ``s_x * s_w`` or None. ``padding`` is cut from the full result, ``output_padding``
    added at its bottom and right; the rest is as in ``conv2d``.

    Returns:
        int8 (N, O, (H - 1) * stride + dilation * (KH - 1) + 1 - padding + output_padding, ...).

    Raises:
        Unsupported: types other than int8 activations with weights of at most 8 bits.
    """
    require("a transposed convolution", input_quant, output_quant, dtypes=BOTH)
    require_one_type("a transposed convolution", input_quant, output_quant)
    by_output = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:]).transpose(1, 2)
    bound = bound_of(by_output.reshape(groups * weight.shape[1], -1), input_quant)
    dtype = exact_dtype(bound)
    (top, bottom), (left, right) = padding
    with exact_convolutions():
        data = centred(x, input_quant, dtype)
        sums = F.conv_transpose2d(data, weight.to(dtype), None, stride, 0, 0, groups, dilation)
    # Negative padding of F.pad cuts; the output padding reaches into the part that is cut, then into zeros.
    sums = F.pad(sums, (-left, output_padding[1] - right, -top, output_padding[0] - bottom))
    return to_output(sums, bound, bias, input_quant, weight_quant, output_quant, activation)
