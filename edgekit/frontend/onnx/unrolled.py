"""Recurrent layers that the graph has no op for, written out step by step."""

from __future__ import annotations

from edgekit.frontend.onnx.context import Lowering
from edgekit.ir import Value, ops


def gru_steps(
    ctx: Lowering, x: Value, weights: list[Value], initial: Value | None, index: int, backwards: bool
) -> tuple[Value, Value]:
    """One direction of a GRU whose reset gate acts on the state before the recurrent product (Cho et al. 2014,
    arXiv:1406.1078): n = tanh(W x + R (r * h) + b), h' = (1 - z) n + z h.

    Args:
        ctx: the node.
        x: (time, batch, features), the number of steps fixed.
        weights: w_ih, w_hh and perhaps b_ih, b_hh, with gates in ONNX's order z, r, n.
        initial: states (directions, batch, hidden) or None for zeros.
        index: which of the directions.
        backwards: from the last step to the first.

    Returns:
        All states (time, batch, hidden) in the order of time, and the last one computed (batch, hidden).
    """
    w, r, *biases = weights
    hidden, steps, batch = ctx.fixed(r, 1), ctx.fixed(x, 0), x.shape[1]
    bias = ctx.add(ops.Add(), *biases) if biases else None
    products = ctx.add(ops.Linear(), x, w, bias)
    gates = ctx.slice(r, 0, 0, 2 * hidden)
    candidate = ctx.slice(r, 0, 2 * hidden, 3 * hidden)
    if initial is None:
        h = ctx.filled((batch, hidden), 0.0, x.type.dtype)
    else:
        h = ctx.reshape(ctx.slice(initial, 0, index, index + 1), (batch, hidden))
    one = ctx.scalar(1.0, x.type.dtype)
    states: list[Value] = []
    for step in range(steps)[:: -1 if backwards else 1]:
        now = ctx.reshape(ctx.slice(products, 0, step, step + 1), (batch, 3 * hidden))
        both = ctx.add(ops.Add(), ctx.slice(now, 1, 0, 2 * hidden), ctx.add(ops.Linear(), h, gates, None))
        both = ctx.add(ops.Sigmoid(), both)
        update, reset = ctx.slice(both, 1, 0, hidden), ctx.slice(both, 1, hidden, 2 * hidden)
        again = ctx.add(ops.Linear(), ctx.add(ops.Mul(), reset, h), candidate, None)
        new = ctx.add(ops.Tanh(), ctx.add(ops.Add(), ctx.slice(now, 1, 2 * hidden, 3 * hidden), again))
        kept = ctx.add(ops.Mul(), update, h)
        h = ctx.add(ops.Add(), ctx.add(ops.Mul(), ctx.add(ops.Sub(), one, update), new), kept)
        states.append(ctx.reshape(h, (1, batch, hidden)))
    ordered = states[::-1] if backwards else states
    return (ordered[0] if steps == 1 else ctx.add(ops.Concat(axis=0), *ordered)), h
