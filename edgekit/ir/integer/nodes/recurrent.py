"""Recurrent layers that have an integer form."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.ir import ops
from edgekit.ir.integer.activation_range import require_equal
from edgekit.ir.integer.lstm import Scales
from edgekit.ir.integer.lstm import lstm as integer_lstm
from edgekit.ir.integer.nodes.table import Call, integer


@integer(ops.Lstm)
def _lstm(call: Call) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One layer in one direction; its hidden state is its output."""
    op: ops.Lstm = call.op
    if op.layers != 1 or op.bidirectional:
        raise Unsupported("an integer LSTM of several layers or directions", hint="one node for each layer and direction")
    y_quant, h_quant, c_quant = call.outputs
    assert y_quant is not None and h_quant is not None and c_quant is not None
    require_equal("'lstm'", y_quant, h_quant)
    scales = Scales(call.quant(0), y_quant, c_quant)
    x = call.tensor(0).transpose(0, 1) if op.batch_first else call.tensor(0)
    shape = (x.shape[1], op.hidden)
    h, c = call.optional(1), call.optional(2)
    hidden = torch.full(shape, y_quant.zero_point[0]) if h is None else h[0]
    cell = torch.zeros(shape, dtype=torch.int64) if c is None else c[0]
    weights, biases = (call.tensor(3), call.tensor(4)), tuple(call.tensor(i) for i in range(5, len(call.tensors)))
    y, last = integer_lstm(x, hidden, cell, weights, biases, (call.quant(3), call.quant(4)), scales)
    final = y[-1:].contiguous()
    return y.transpose(0, 1) if op.batch_first else y, final, last.unsqueeze(0)
