"""Convolutions and matrix products."""

from __future__ import annotations

import torch

from edgekit.ir import ops
from edgekit.ir.integer.convolution import Padding, conv2d, conv_transpose2d
from edgekit.ir.integer.linear import linear, matmul
from edgekit.ir.integer.nodes.table import Call, integer


def pair(values: tuple[int, ...], filler: int) -> tuple[int, int]:
    """An attribute of one or two spatial dimensions as two: a line becomes a picture of height 1."""
    return (filler, values[0]) if len(values) == 1 else (values[0], values[1])


def pairs(values: tuple[tuple[int, int], ...]) -> Padding:
    """Padding of one or two spatial dimensions as two."""
    return ((0, 0), values[0]) if len(values) == 1 else (values[0], values[1])


def picture(x: torch.Tensor, spatial: int) -> torch.Tensor:
    """``x`` with two spatial dimensions."""
    return x.unsqueeze(-2) if spatial == 1 else x


def back(x: torch.Tensor, spatial: int) -> torch.Tensor:
    """The opposite of ``picture``."""
    return x.squeeze(-2) if spatial == 1 else x


@integer(ops.Conv1d, ops.Conv2d)
def _convolution(call: Call) -> torch.Tensor:
    op: ops.Conv2d = call.op
    spatial = len(op.stride)
    y = conv2d(
        picture(call.tensor(0), spatial),
        picture(call.tensor(1), spatial),
        call.optional(2),
        call.quant(0),
        call.quant(1),
        call.output,
        stride=pair(op.stride, 1),
        padding=pairs(op.padding),
        dilation=pair(op.dilation, 1),
        groups=op.groups,
        activation=op.activation,
    )
    return back(y, spatial)


@integer(ops.ConvTranspose1d, ops.ConvTranspose2d)
def _transposed_convolution(call: Call) -> torch.Tensor:
    op: ops.ConvTranspose2d = call.op
    spatial = len(op.stride)
    y = conv_transpose2d(
        picture(call.tensor(0), spatial),
        picture(call.tensor(1), spatial),
        call.optional(2),
        call.quant(0),
        call.quant(1),
        call.output,
        stride=pair(op.stride, 1),
        padding=pairs(tuple((cut, cut) for cut in op.padding)),
        output_padding=pair(op.output_padding, 0),
        dilation=pair(op.dilation, 1),
        groups=op.groups,
        activation=op.activation,
    )
    return back(y, spatial)


@integer(ops.Linear)
def _linear(call: Call) -> torch.Tensor:
    return linear(
        call.tensor(0),
        call.tensor(1),
        call.optional(2),
        call.quant(0),
        call.quant(1),
        call.output,
        activation=call.op.activation,
    )


@integer(ops.Matmul)
def _matmul(call: Call) -> torch.Tensor:
    b = call.tensor(1)
    b = b.transpose(-1, -2) if call.op.transpose_b else b
    return matmul(call.tensor(0), b, call.quant(0), call.quant(1), call.output)
