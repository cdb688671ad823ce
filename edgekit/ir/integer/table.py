"""Operators of one input as tables: an 8-bit value has 256 possible inputs, so each is computed once."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgekit.ir.quant import RANGES, QuantParams


def inputs_of(quant: QuantParams) -> torch.Tensor:
    """All integers of the type, lowest first, int64."""
    low, high = RANGES[quant.dtype]
    return torch.arange(low, high + 1)


def look_up(x: torch.Tensor, table: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """``table[x - lowest]``: the result has the shape of ``x`` and the dtype of ``table``."""
    index = x.reshape(-1).to(torch.int32) - RANGES[quant.dtype][0]
    return table.index_select(0, index).reshape(x.shape)


def by_table(
    x: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor], input_quant: QuantParams, dtype: torch.dtype
) -> torch.Tensor:
    """Applies a function of 8-bit integers (int64 in, any integer dtype out) to ``x`` through its table."""
    return look_up(x, function(inputs_of(input_quant)).to(dtype), input_quant)
