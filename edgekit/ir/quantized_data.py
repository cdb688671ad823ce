"""From real numbers to integers and back: the one place where exporters, the simulation and the packer take their integers
from.

Rounding is **half to even** of the float32 quotient ``x / scale``, as torch, XNNPACK's and ONNX's QuantizeLinear round.
TFLite's reference kernel of the operator QUANTIZE rounds half away from zero instead; ``edgekit.ir.integer.quantize_op`` is
that operator. The two differ only where ``x / scale`` is exactly halfway between two integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.errors import InputError, Unsupported
from edgekit.ir.quant import QuantParams

_STORAGE: dict[str, torch.dtype] = {
    "int2": torch.int8,
    "int4": torch.int8,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
}

#: What a bias may hold. 16-bit kernels multiply the 64-bit sum by 15 bits and demand that it stays below 2**47.
_BIAS: dict[str, int] = {"int32": 2**31 - 1, "int64": 2**46 - 1}


def storage_dtype(quant: QuantParams) -> torch.dtype:
    """The torch dtype that carries these integers: their own, int8 for the types below 8 bits (one integer an element, not
    packed).
    """
    return _STORAGE[quant.dtype]


def quantize(x: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """``clamp(round(x / scale) + zero_point, qmin, qmax)``, rounding half to even, in float32.

    Args:
        x: real numbers, any shape.
        quant: per tensor, or per channel along ``quant.axis``.

    Returns:
        Integers of ``storage_dtype(quant)``, same shape. Values beyond the range, infinities too, saturate.

    Raises:
        InputError: ``x`` has a NaN, which no integer can hold.
    """
    x = x.detach().to(torch.float32)
    scale, zero = quant.tensors(x.dim(), x.device)
    rounded = (x / scale).round_()
    if bool(torch.isnan(rounded).any()):
        raise InputError(
            "NaN can't be quantised",
            hint="check the input data and the weights for NaN, for example with torch.isnan(t).any()",
        )
    # Clamped before the zero point is added. float32 holds every integer up to 2**24; the ends of int32 need float64.
    rounded = rounded.to(torch.float64) if quant.dtype == "int32" else rounded
    low, high = (quant.qmin - zero).to(rounded.dtype), (quant.qmax - zero).to(rounded.dtype)
    return (rounded.clamp_(low, high) + zero).to(storage_dtype(quant))


def dequantize(q: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """``scale * (q - zero_point)`` in float32, the same numbers as TFLite's DEQUANTIZE; any shape."""
    scale, zero = quant.tensors(q.dim(), q.device)
    return (q.to(torch.int64) - zero).to(torch.float32) * scale


def quantize_weights(data: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """The integers of a constant: ``quantize``, which puts them into every artifact, with the constant's values checked to be
    finite.

    Raises:
        Unsupported: a value is NaN or infinite.
    """
    if not bool(torch.isfinite(data).all()):
        raise InputError(
            "a constant holds NaN or infinity and can't be quantised", hint="check the checkpoint for NaN and infinity"
        )
    return quantize(data, quant)


def quantize_bias(bias: torch.Tensor, scales: Sequence[float], dtype: str = "int32") -> torch.Tensor:
    """``round(bias / (s_x * s_w))`` as int32 or int64, half to even, in double precision (zero point 0).

    Args:
        bias: (C,) real numbers.
        scales: C scales, or one for all channels: the ``quant.scale`` of the bias.
        dtype: int64 beside 16-bit activations; 47 of its bits are used.

    Raises:
        Unsupported: an entry does not fit. That happens where a channel's weights are all (almost) zero, so that its
            scale is
            tiny beside its bias; the quantiser enlarges such scales.
    """
    real = bias.detach().to(torch.float64)
    divisor = torch.tensor(scales, dtype=torch.float64, device=real.device)
    rounded = torch.round(real / divisor)
    fits = rounded.abs() <= _BIAS[dtype]
    if not bool(fits.all()):
        channel = int((~fits).nonzero()[0, 0])
        raise Unsupported(
            f"the bias of output channel {channel} ({float(real[channel]):.6g}) doesn't fit {32 if dtype == 'int32' else 47} "
            f"bits at scale "
            f"{float(divisor.expand_as(real)[channel]):.6g}",
            hint="the channel's weights are all nearly zero: enlarge its weight scale, or prune the channel",
        )
    return rounded.to(_STORAGE[dtype])


def quantize_constant(data: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """The integers of any constant: ``quantize_bias`` for 32 and 64 bits, else ``quantize_weights``.

    Raises:
        InputError: a value is NaN or infinite.
        Unsupported: a bias that does not fit 32 bits.
    """
    return quantize_bias(data, quant.scale, quant.dtype) if quant.dtype in _BIAS else quantize_weights(data, quant)
