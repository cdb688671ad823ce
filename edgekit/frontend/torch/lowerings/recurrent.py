"""Recurrent layers as single ops, and their cells by composition."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.lstm.input)
def lstm(
    ctx: Lowering,
    input: Value,
    hx: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Result:
    """Outputs, last hidden states, last cell states."""
    _need_fixed_time(ctx, input, batch_first)
    per_direction = 4 if has_biases else 2
    directions = num_layers * (2 if bidirectional else 1)
    ctx.need(
        len(params) == per_direction * directions,
        "projects its hidden state (proj_size)",
        "put an nn.Linear after an nn.LSTM without proj_size",
    )
    _need_inference(ctx, train, dropout)
    op = ops.Lstm(
        hidden=params[1].tensor_shape[1],
        layers=num_layers,
        bidirectional=bidirectional,
        batch_first=batch_first,
        bias=has_biases,
        dropout=float(dropout) if num_layers > 1 else 0.0,
    )
    h, c = (_unless_zero(x) for x in hx)
    return ctx.add_node(op, input, h, c, *params).outputs


@lowers(aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
def gru_or_rnn(
    ctx: Lowering,
    input: Value,
    hx: Value,
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Result:
    """Outputs and last hidden states."""
    _need_fixed_time(ctx, input, batch_first)
    _need_inference(ctx, train, dropout)
    hidden, active = params[1].tensor_shape[1], float(dropout) if num_layers > 1 else 0.0
    op: ops.Op
    if ctx.node.target is aten.gru.input:
        op = ops.Gru(hidden, num_layers, bidirectional, batch_first, has_biases, active)
    else:
        kind = "tanh" if ctx.node.target is aten.rnn_tanh.input else "relu"
        op = ops.Rnn(hidden, num_layers, bidirectional, batch_first, has_biases, active, nonlinearity=kind)
    return ctx.add_node(op, input, _unless_zero(hx), *params).outputs


@lowers(aten.lstm.data, aten.gru.data, aten.rnn_tanh.data, aten.rnn_relu.data)
def packed(ctx: Lowering, *arguments: object) -> Result:
    """A packed sequence has as many rows as its samples have steps together."""
    raise ctx.refused("packed sequences have no form in a graph", "pad the batch and pass it as one tensor")


@lowers(aten.lstm_cell.default)
def lstm_cell(
    ctx: Lowering,
    input: Value,
    hx: Sequence[Value],
    w_ih: Value,
    w_hh: Value,
    b_ih: Value | None = None,
    b_hh: Value | None = None,
) -> Result:
    """One step: c' = sigmoid(f) * c + sigmoid(i) * tanh(g), h' = sigmoid(o) * tanh(c')."""
    h, c = hx
    gates = ctx.add(ops.Add(), ctx.add(ops.Linear(), input, w_ih, b_ih), ctx.add(ops.Linear(), h, w_hh, b_hh))
    i, f, g, o = _parts(ctx, gates, 4)
    kept = ctx.add(ops.Mul(), ctx.add(ops.Sigmoid(), f), c)
    new = ctx.add(ops.Mul(), ctx.add(ops.Sigmoid(), i), ctx.add(ops.Tanh(), g))
    cell = ctx.add(ops.Add(), kept, new)
    return ctx.add(ops.Mul(), ctx.add(ops.Sigmoid(), o), ctx.add(ops.Tanh(), cell)), cell


@lowers(aten.gru_cell.default)
def gru_cell(
    ctx: Lowering, input: Value, hx: Value, w_ih: Value, w_hh: Value, b_ih: Value | None = None, b_hh: Value | None = None
) -> Result:
    """One step: n = tanh(x_n + sigmoid(r) * h_n), h' = n + sigmoid(z) * (h - n)."""
    x_r, x_z, x_n = _parts(ctx, ctx.add(ops.Linear(), input, w_ih, b_ih), 3)
    h_r, h_z, h_n = _parts(ctx, ctx.add(ops.Linear(), hx, w_hh, b_hh), 3)
    r = ctx.add(ops.Sigmoid(), ctx.add(ops.Add(), x_r, h_r))
    z = ctx.add(ops.Sigmoid(), ctx.add(ops.Add(), x_z, h_z))
    n = ctx.add(ops.Tanh(), ctx.add(ops.Add(), x_n, ctx.add(ops.Mul(), r, h_n)))
    return ctx.add(ops.Add(), n, ctx.add(ops.Mul(), z, ctx.add(ops.Sub(), hx, n)))


@lowers(aten.rnn_tanh_cell.default, aten.rnn_relu_cell.default)
def rnn_cell(
    ctx: Lowering, input: Value, hx: Value, w_ih: Value, w_hh: Value, b_ih: Value | None = None, b_hh: Value | None = None
) -> Result:
    """One step: f(x w_ih + h w_hh)."""
    total = ctx.add(ops.Add(), ctx.add(ops.Linear(), input, w_ih, b_ih), ctx.add(ops.Linear(), hx, w_hh, b_hh))
    return ctx.add(ops.Tanh() if ctx.node.target is aten.rnn_tanh_cell.default else ops.Relu(), total)


def _need_fixed_time(ctx: Lowering, input: Value, batch_first: bool) -> None:
    ctx.need(
        isinstance(input.shape[1 if batch_first else 0], int),
        "steps over the batch",
        "say which axis is the batch: batch_axes={name: 1}",
    )


def _parts(ctx: Lowering, gates: Value, count: int) -> tuple[Value, ...]:
    axis = gates.type.rank - 1
    return ctx.add_node(ops.Split(axis=axis, sizes=(gates.tensor_shape[axis] // count,) * count), gates).outputs


def _unless_zero(state: Value) -> Value | None:
    """Absent where the source starts from zeros, whether it says so or leaves it to the layer."""
    data = state
    while isinstance(data.producer and data.producer.op, ops.Expand | ops.Reshape):
        assert data.producer is not None
        data = data.producer.input(0)
    return None if data.is_constant and not data.is_trainable and not data.tensor.any() else state


def _need_inference(ctx: Lowering, train: bool, dropout: float) -> None:
    ctx.need(
        not train or not dropout, "is in training mode: it drops at random", "call model.eval() before torch.export.export"
    )
