"""Signs of binary networks."""

from __future__ import annotations

import torch

from edgekit.ir import ops
from edgekit.ir.integer.nodes.table import Call, integer
from edgekit.ir.quantized_data import storage_dtype


@integer(ops.BinarySign)
def _binary_sign(call: Call) -> torch.Tensor:
    """A comparison with the zero point, and the integers of +1 and -1."""
    zero, dtype = call.output.zero_point[0], storage_dtype(call.output)
    is_plus = call.tensor(0) >= call.quant(0).zero_point[0]
    return torch.where(is_plus, torch.tensor(zero + 1, dtype=dtype), torch.tensor(zero - 1, dtype=dtype))
