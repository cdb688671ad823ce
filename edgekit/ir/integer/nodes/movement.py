"""Ops that move or choose integers: the op's own torch function on them."""

from __future__ import annotations

import torch

from edgekit.ir import ops
from edgekit.ir.integer.activation_range import require_equal
from edgekit.ir.integer.joining import pad
from edgekit.ir.integer.nodes.table import Call, integer
from edgekit.ir.quantized_data import dequantize


@integer(
    ops.Reshape,
    ops.Permute,
    ops.Split,
    ops.Slice,
    ops.Expand,
    ops.Tile,
    ops.Flip,
    ops.Roll,
    ops.Gather,
    ops.Concat,
    ops.PixelShuffle,
    ops.PixelUnshuffle,
)
def _move(call: Call) -> torch.Tensor | tuple[torch.Tensor, ...]:
    quants = [quant for quant in (*call.quants, *call.outputs) if quant is not None]
    require_equal(f"'{call.op.name}'", quants[0], *quants[1:])
    return call.op.run(*call.tensors)  # type: ignore[no-any-return]


@integer(ops.ChooseExit)
def _choose_exit(call: Call) -> torch.Tensor:
    """Integers are chosen by the certainty of the real logits: the runtime's DEQUANTIZE and float SOFTMAX."""
    require_equal("a choice between exits", call.output, *(call.quant(i) for i in range(len(call.tensors))))
    held = tuple(call.tensor(i) for i in range(len(call.tensors)))
    real = tuple(dequantize(x, call.quant(i)) for i, x in enumerate(held))
    op: ops.ChooseExit = call.op
    return op.choose(real, held)


@integer(ops.Pad)
def _pad(call: Call) -> torch.Tensor:
    op: ops.Pad = call.op
    first = next((i for i, sides in enumerate(op.pads) if sides != (0, 0)), len(op.pads))
    flat = [size for sides in reversed(op.pads[first:]) for size in sides]
    return pad(call.tensor(0), flat, call.quant(0), call.output, mode=op.mode, value=op.value)
