"""LSTM, GRU and RNN. ONNX stacks gates in another order than torch, and a direction is an axis of its own.

ONNX: input, output, forget, cell for LSTM and update, reset, hidden for GRU. torch: input, forget, cell, output; reset, update,
hidden. Sequences are (time, batch, features), with ``layout`` 1 (batch, time, features).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.frontend.onnx.unrolled import gru_steps
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch

#: Where torch's gates stand in ONNX's weights.
_LSTM, _GRU, _RNN = (0, 2, 3, 1), (1, 0, 2), (0,)


@dataclass(frozen=True)
class _Call:
    """What the three operators share."""

    x: Value
    w: Value
    r: Value
    b: Value | None
    direction: str
    hidden: int
    layout: int

    @property
    def bidirectional(self) -> bool:
        """Forward and backward side by side."""
        return self.direction == "bidirectional"


@lowers("LSTM")
def lstm(
    ctx: Lowering,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Operand | None = None,
    initial_h: Value | None = None,
    initial_c: Value | None = None,
    p: Value | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> Result:
    """Without peepholes."""
    ctx.need(not input_forget, "couples input and forget gates")
    ctx.need(p is None or (p.is_constant and not bool(p.tensor.any())), "has peepholes", "export an LSTM without them")
    call = _checked(ctx, x, w, r, b, sequence_lens, clip, direction, layout, 4)
    _check_activations(ctx, activations, ("Sigmoid", "Tanh", "Tanh"), call)
    op = ops.Lstm(hidden=call.hidden, bidirectional=call.bidirectional, batch_first=bool(layout), bias=b is not None)
    return _run(ctx, op, call, [initial_h, initial_c], _LSTM)


@lowers("GRU")
def gru(
    ctx: Lowering,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Operand | None = None,
    initial_h: Value | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Result:
    """With the reset gate behind the product the graph's op; before it (the older form) unrolled step by step."""
    call = _checked(ctx, x, w, r, b, sequence_lens, clip, direction, layout, 3)
    _check_activations(ctx, activations, ("Sigmoid", "Tanh"), call)
    if not linear_before_reset:
        return _unrolled(ctx, call, initial_h)
    op = ops.Gru(hidden=call.hidden, bidirectional=call.bidirectional, batch_first=bool(layout), bias=b is not None)
    return _run(ctx, op, call, [initial_h], _GRU)


@lowers("RNN")
def rnn(
    ctx: Lowering,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Operand | None = None,
    initial_h: Value | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Result:
    """With tanh or relu."""
    call = _checked(ctx, x, w, r, b, sequence_lens, clip, direction, layout, 1)
    kind = "relu" if activations and activations[0].lower() == "relu" else "tanh"
    _check_activations(ctx, activations, (kind.capitalize(),), call)
    op = ops.Rnn(
        hidden=call.hidden, bidirectional=call.bidirectional, batch_first=bool(layout), bias=b is not None, nonlinearity=kind
    )
    return _run(ctx, op, call, [initial_h], _RNN)


def _checked(
    ctx: Lowering,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None,
    lengths: Operand | None,
    clip: float | None,
    direction: str,
    layout: int,
    gates: int,
) -> _Call:
    ctx.need(clip is None, "clips its gates", "export it without clip")
    ctx.need(direction in ("forward", "reverse", "bidirectional"), f"has the direction '{direction}'")
    ctx.need(layout in (0, 1) and x.type.rank == 3, f"of {x.type} with layout {layout}")
    for name, weight in (("weights", w), ("recurrent weights", r), ("bias", b)):
        ctx.need(weight is None or weight.is_constant, f"takes its {name} from a computation at run time")
    hidden, directions = ctx.fixed(r, -1), 2 if direction == "bidirectional" else 1
    features = ctx.fixed(x, 2)
    fits = w.shape == (directions, gates * hidden, features) and r.shape == (directions, gates * hidden, hidden)
    fits = fits and (b is None or b.shape == (directions, 2 * gates * hidden))
    ctx.need(fits and hidden > 0, f"of {x.type} has weights {w.type} and {r.type}")
    steps = ctx.fixed(x, 1 if layout else 0)
    if lengths is not None:
        ctx.need(all(n == steps for n in ctx.ints(lengths, "lengths")), "has sequences of different lengths")
    return _Call(x, w, r, b, direction, hidden, layout)


def _check_activations(ctx: Lowering, given: Sequence[str] | None, usual: tuple[str, ...], call: _Call) -> None:
    wanted = list(usual) * (2 if call.bidirectional else 1)
    found = [name.lower() for name in given or wanted]
    ctx.need(found == [name.lower() for name in wanted], f"has the activations {list(given or ())}", "use the usual ones")


def _run(
    ctx: Lowering, op: ops.Lstm | ops.Gru | ops.Rnn, call: _Call, states: list[Value | None], order: tuple[int, ...]
) -> tuple[Value | None, ...]:
    """The graph's op between ONNX's forms of sequences and states."""
    time = 1 if call.layout else 0
    backwards = call.direction == "reverse"
    x = ctx.add(ops.Flip(axes=(time,)), call.x) if backwards else call.x
    given = [_initial(ctx, call, state) for state in states]
    weights = [weight for index in range(call.w.tensor_shape[0]) for weight in _direction(ctx, call, index, order)]
    y, *finals = ctx.add_node(op, x, *given, *weights).outputs
    if backwards:
        y = ctx.add(ops.Flip(axes=(time,)), y)
    out = _apart(ctx, y, call)
    return (out, *(ctx.permute(state, (1, 0, 2)) if call.layout else state for state in finals))


def _initial(ctx: Lowering, call: _Call, state: Value | None) -> Value | None:
    """A state as (directions, batch, hidden), None for zeros; one that the file has for one sample is that of every sample."""
    if state is None or _is_zero(state):
        return None
    ctx.need(state.type.rank == 3, f"has an initial state {state.type}")
    state = ctx.permute(state, (1, 0, 2)) if call.layout else state
    batch = call.x.shape[0 if call.layout else 1]
    one_for_all = isinstance(batch, Batch) and state.shape[1] == 1
    return ctx.expand(state, (state.shape[0], batch, state.shape[2])) if one_for_all else state


def _is_zero(state: Value) -> bool:
    """Zeros of the file, however they were shaped: an absent state is zero too."""
    while state.producer is not None and isinstance(state.producer.op, ops.Expand | ops.Slice | ops.Reshape | ops.Permute):
        state = state.producer.input(0)
    return state.is_constant and not bool(state.tensor.any())


def _apart(ctx: Lowering, y: Value, call: _Call) -> Value | None:
    """The directions on an axis of their own: (time, directions, batch, hidden), or (batch, time, directions, hidden)."""
    if not ctx.reads(0):
        return None
    first, second = y.shape[:2]
    if call.layout:
        return ctx.reshape(y, (first, second, 2 if call.bidirectional else 1, call.hidden))
    if not call.bidirectional:
        return ctx.reshape(y, (first, 1, second, call.hidden))
    return ctx.permute(ctx.reshape(y, (first, second, 2, call.hidden)), (0, 2, 1, 3))


def _direction(ctx: Lowering, call: _Call, index: int, order: tuple[int, ...]) -> list[Value]:
    """w_ih, w_hh and, with bias, b_ih, b_hh of one direction, in torch's order of gates."""
    parts = [(call.w, call.w.tensor[index], ""), (call.r, call.r.tensor[index], "")]
    if call.b is not None:
        first, second = call.b.tensor[index].chunk(2)
        parts += [(call.b, first, "_input"), (call.b, second, "_hidden")]
    way = ("", "_reverse")[index]
    made = []
    for source, data, side in parts:
        gates = data.detach().chunk(len(order))
        name = f"{ctx.building.weights.get(id(source), source.name)}{side}{way}"
        value = ctx.graph.constant(torch.cat([gates[gate] for gate in order]), name)
        ctx.building.is_weight(value, name)
        made.append(value)
    return made


def _unrolled(ctx: Lowering, call: _Call, initial: Value | None) -> tuple[Value | None, ...]:
    """A GRU whose reset gate acts before the product."""
    x = ctx.permute(call.x, (1, 0, 2)) if call.layout else call.x
    initial = _initial(ctx, call, initial)
    steps = ctx.fixed(x, 0)
    ctx.need(steps <= 64, f"applies the reset gate before the product, over {steps} steps", "export it with reset_after=True")
    ways: list[tuple[Value, Value]] = []
    for index in range(call.w.tensor_shape[0]):
        turned = call.direction == "reverse" or index == 1
        ways.append(gru_steps(ctx, x, _direction(ctx, call, index, (0, 1, 2)), initial, index, turned))
    size = (steps, 1, x.shape[1], call.hidden)
    outs = [ctx.reshape(y, size) for y, _ in ways]
    lasts = [ctx.reshape(h, size[1:]) for _, h in ways]
    y = outs[0] if len(outs) == 1 else ctx.add(ops.Concat(axis=1), *outs)
    h = lasts[0] if len(lasts) == 1 else ctx.add(ops.Concat(axis=0), *lasts)
    if call.layout:
        return ctx.permute(y, (2, 0, 1, 3)), ctx.permute(h, (1, 0, 2))
    return y, h
