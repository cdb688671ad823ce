"""An LSTM in integers: 8-bit inputs, outputs and weights, a 16-bit cell state, as LiteRT's sequence kernel computes it.

Gates are 16-bit numbers with three integer bits: the sum of two products, each rescaled on its own. The cell state's scale is
a power of two, so that its products are shifts. Source: LiteRT, ``kernels/lstm_eval.cc`` (8x8_16, without peepholes, layer
norm or projection), restated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.fixed_point import divide_by_power_of_two, quantize_multiplier, rescale
from edgekit.ir.integer.gemmlowp16 import sigmoid, tanh
from edgekit.ir.quant import QuantParams

_GATES = 4
_LOW, _HIGH = -(2**15), 2**15 - 1

#: Integer bits that the kernel's tanh has a form for.
MOST_CELL_BITS = 6


@dataclass(frozen=True)
class Scales:
    """What the values of one layer are quantised with: input, output (and hidden state), cell state.

    Raises:
        Unsupported: the cell state's scale is no power of two, or one that the kernel has no form for.
    """

    x: QuantParams
    hidden: QuantParams
    cell: QuantParams

    def __post_init__(self) -> None:
        fraction, _ = math.frexp(self.cell.scale[0])
        if fraction != 0.5 or not 0 <= self.cell_bits <= MOST_CELL_BITS or self.cell.dtype != "int16":
            raise Unsupported(f"an integer LSTM with a cell state of {self.cell}", hint="int16 with a scale of 2**-15 to 2**-9")

    @property
    def cell_bits(self) -> int:
        """Integer bits of the cell state."""
        return math.frexp(self.cell.scale[0])[1] + 14


def gate_scales(quant: QuantParams, hidden: int) -> list[float]:
    """The scale of each gate's matrix.

    Raises:
        Unsupported: several in one gate, which the kernel does not have.
    """
    found = [set(quant.scale[gate * hidden : (gate + 1) * hidden]) for gate in range(_GATES)]
    if quant.axis is None:
        return [quant.scale[0]] * _GATES
    if any(len(scales) != 1 for scales in found):
        raise Unsupported("LSTM weights with one scale per channel", hint="use one scale for each gate's matrix")
    return [scales.pop() for scales in found]


def bias_integers(
    biases: tuple[torch.Tensor, ...], x: QuantParams, w_ih: QuantParams, hidden: int
) -> tuple[torch.Tensor, list[float]]:
    """(4 * hidden) int64 within 32 bits, and the scale of each gate: both biases together, as the accumulator of the inputs
    holds them. Zeros where there are none.
    """
    scales = [float(np.float32(x.scale[0]) * np.float32(scale)) for scale in gate_scales(w_ih, hidden)]
    if not biases:
        return torch.zeros(_GATES * hidden, dtype=torch.int64), scales
    total = sum(bias.detach().double() for bias in biases)
    assert isinstance(total, torch.Tensor)
    rows = torch.tensor(scales, dtype=torch.float64).repeat_interleave(hidden)
    return (total / rows).round().clamp(-(2**31), 2**31 - 1).to(torch.int64), scales


def lstm(
    x: torch.Tensor,
    hidden: torch.Tensor,
    cell: torch.Tensor,
    weights: tuple[torch.Tensor, torch.Tensor],
    biases: tuple[torch.Tensor, ...],
    weight_quants: tuple[QuantParams, QuantParams],
    scales: Scales,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The hidden states of all steps (time, batch, hidden) int8, and the last cell state (batch, hidden) int16.

    Args:
        x: (time, batch, features), integers.
        hidden: state before the first step, (batch, hidden), integers.
        cell: likewise.
        weights: w_ih and w_hh, gates i, f, g, o stacked along axis 0, integers.
        biases: both, as real numbers, or none.
        weight_quants: of the weights.
        scales: of everything else.

    Raises:
        Unsupported: a scale that the kernel does not take.
    """
    bits, size = scales.cell_bits, hidden.shape[1]
    bias, _ = bias_integers(biases, scales.x, weight_quants[0], size)
    factors = [
        [
            _multiplier(np.float32(scale) * np.float32(read.scale[0]) / np.float32(2.0**-12))
            for scale in gate_scales(quant, size)
        ]
        for quant, read in zip(weight_quants, (scales.x, scales.hidden), strict=True)
    ]
    out = _multiplier(np.float32(2.0**-15 / float(np.float32(scales.hidden.scale[0])) * 2.0**-15))
    w_ih, w_hh = (weight.double() for weight in weights)
    given = (x.double() - scales.x.zero_point[0]) @ w_ih.T + bias.double()  # exact: far below 2**53
    states, zero = [], scales.hidden.zero_point[0]
    h, c = hidden.to(torch.int64), cell.to(torch.int64)
    for now in given.to(torch.int64):
        before = ((h - zero).double() @ w_hh.T).to(torch.int64)
        i, f, g, o = (
            (_rescaled(a, factors[0][gate]) + _rescaled(b, factors[1][gate]).clamp(_LOW, _HIGH)).clamp(_LOW, _HIGH)
            for gate, (a, b) in enumerate(zip(now.chunk(_GATES, 1), before.chunk(_GATES, 1), strict=True))
        )
        kept = divide_by_power_of_two(sigmoid(f) * c, 15)
        new = divide_by_power_of_two(sigmoid(i) * tanh(g, 3), 15 + bits)
        c = (kept + new).clamp(_LOW, _HIGH)
        h = (rescale(sigmoid(o) * tanh(c, bits), *out) + zero).clamp(-128, 127)
        states.append(h)
    return torch.stack(states).to(torch.int8), c.to(torch.int16)


def _multiplier(real: np.floating) -> tuple[int, int]:
    return quantize_multiplier(float(np.float32(real)))


def _rescaled(x: torch.Tensor, factor: tuple[int, int]) -> torch.Tensor:
    return rescale(x, *factor).clamp(_LOW, _HIGH)
