"""Fused activations become operators of their own, unless rounding to the output's integers already does what they do."""

from __future__ import annotations

import math

import torch

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.writer import Tensor
from edgekit.ir.graph import Value
from edgekit.ir.ops import FUSED_RANGE
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import quantize


def activate(to: Emission, tensor: Tensor, activation: str, value: Value) -> Tensor:
    """``tensor`` after a fused activation; ``value`` is the output that it computes.

    With a quantised output, an activation that is not implied acts on the rounded numbers: rounding and clamping to the same
    grid give the same integers in either order, and runtimes merge QuantizeLinear with the operator directly before it only.
    """
    if activation == "none" or (value.quant is not None and is_implied(activation, value.quant)):
        return tensor
    if value.quant is not None:
        tensor.wish = f"{value.name}/real"
        tensor = to.rounded(tensor, value.quant, value.name)
    return clamp(to, tensor, *FUSED_RANGE[activation], dtype=value.type.dtype)


def is_implied(activation: str, quant: QuantParams) -> bool:
    """The integers saturate where the activation would clamp: its bounds are the first and the last integer."""
    bounds = torch.tensor(FUSED_RANGE[activation])
    return quantize(bounds, quant).tolist() == [quant.qmin, quant.qmax]


def clamp(to: Emission, tensor: Tensor, low: float | None, high: float | None, *, dtype: torch.dtype) -> Tensor:
    """min(max(tensor, low), high); a bound that is None or infinite is absent."""
    low = None if low is None or low == -math.inf else low
    high = None if high is None or high == math.inf else high
    if low is None and high is None:
        return tensor
    if low == 0 and high is None and dtype.is_floating_point:
        return to.add("Relu", tensor)
    return to.add(
        "Clip",
        tensor,
        None if low is None else to.scalar(low, dtype),
        None if high is None else to.scalar(high, dtype),
    )
