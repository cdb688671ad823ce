"""From ranges to scales and zero points."""

from __future__ import annotations

import torch

from edgekit.ir import QuantParams
from edgekit.ir.quant import RANGES

#: Smallest scale: keeps a constant-zero tensor representable.
_TINY = 1e-9


def span(data: torch.Tensor) -> tuple[float, float]:
    """Smallest and largest element."""
    low, high = torch.aminmax(data.detach())
    return float(low), float(high)


def activation_params(low: float, high: float, dtype: str = "int8") -> QuantParams:
    """Asymmetric per-tensor parameters for a range, widened to contain zero, which becomes exactly representable.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3 (nudged zero point).
    """
    qmin, qmax = RANGES[dtype]
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (qmax - qmin), _TINY)
    zero = min(max(round(qmin - low / scale), qmin), qmax)
    if dtype == "int16":  # the runtimes' 16-bit activations are symmetric
        return QuantParams(dtype, (max(max(-low, high) / qmax, _TINY),), (0,))
    return QuantParams(dtype, (scale,), (zero,))


def weight_params(
    weight: torch.Tensor, axis: int | None, floor: torch.Tensor | float = 0.0, dtype: str = "int8", share: float = 1.0
) -> QuantParams:
    """Symmetric parameters for a weight: the largest magnitude, per index along ``axis`` or of all, becomes the largest
    integer.

    ``floor`` is the smallest scale allowed (a number, or one per channel). ``share``: of the largest magnitude, that the
    largest integer stands for; what is larger is clipped.
    """
    magnitudes = weight.detach().abs().double()
    if axis is None:
        largest = magnitudes.max().reshape(1)
    else:
        largest = magnitudes.transpose(0, axis).reshape(magnitudes.shape[axis], -1).amax(1)
    scale = torch.maximum(share * largest / RANGES[dtype][1], torch.as_tensor(floor, dtype=torch.float64)).clamp(min=_TINY)
    scales = tuple(scale.tolist())
    return QuantParams(dtype, scales, (0,) * len(scales), axis, narrow=True)


def bias_params(input: QuantParams, weight: QuantParams) -> QuantParams:
    """Parameters of a bias: scale s_x * s_w, so that it adds to the accumulator as it is (arXiv:1712.05877, eq. 11).

    It has 32 bits; beside 16-bit activations, whose steps are 256 times finer, 64. The product is rounded once, to float32,
    which is what the runtimes compare against.
    """
    x = torch.tensor(input.scale[0], dtype=torch.float64)
    scales = tuple((x * torch.tensor(weight.scale, dtype=torch.float64)).float().tolist())
    dtype = "int64" if input.dtype == "int16" else "int32"
    return QuantParams(dtype, scales, (0,) * len(scales), None if weight.axis is None else 0)
