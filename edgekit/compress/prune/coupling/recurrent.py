"""Recurrent layers: a hidden unit goes from every gate, layer and direction at once."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import Coupling, stays
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Node, ops
from edgekit.ir.ops import Op


@couples(ops.Lstm, ops.Gru, ops.Rnn)
def recurrent(node: Node, c: Coupling) -> None:
    """Per layer and direction: w_ih (gates * H, I), w_hh (gates * H, H), biases (gates * H); one H for all of them."""
    op, x = node.op, node.input(0)
    assert isinstance(op, ops.Lstm | ops.Gru | ops.Rnn)
    time = 1 if op.batch_first else 0
    c.fix(c.axis(x, time), "steps of a sequence depend on each other")
    c.fix(c.axis(x, 1 - time), "samples are not channels")
    states = 1 + op.STATES
    hidden = c.axis(node.input(states + 1), 1) if op.hidden > 1 else stays(1)
    across = np.tile(hidden, op.directions)
    gates = np.tile(hidden, op.GATES)
    per = 4 if op.bias else 2
    for index, start in enumerate(range(states, len(node.inputs), per)):
        w_ih, w_hh = node.input(start), node.input(start + 1)
        c.bind(w_ih, 1, c.axis(x, 2) if index < op.directions else across)
        c.bind(w_hh, 1, hidden)
        for value in node.inputs[start : start + per]:
            assert value is not None
            c.bind(value, 0, gates)
        c.makes(w_ih, 0)
        c.makes(w_hh, 0)
    c.label(node.outputs[0], [*c.all_axes(x)[:2], across])
    for state in node.inputs[1:states]:
        if state is not None:
            c.bind(state, 2, hidden)
            c.fix_axes(state, (0, 1), "layers and samples are not channels")
    for output in node.outputs[1:]:
        rows = [stays(d) if isinstance(d, int) else stays(0) for d in output.shape[:2]]
        c.label(output, [*rows, hidden])


@shrinks(ops.Lstm, ops.Gru, ops.Rnn)
def fewer_units(change: Change) -> Op:
    """``hidden`` is what is left."""
    return change.op.with_(hidden=len(change.kept(change.old.outputs[1], 2)))
