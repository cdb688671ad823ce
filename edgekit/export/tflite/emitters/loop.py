"""GRU and RNN: TFLite has no kernel for the one and a stateful one for the other, so a WHILE walks the time steps.

The products of the inputs of all steps are one FULLY_CONNECTED before the loop. A loop keeps the weights once, where
writing every step out would have the runtime pack them once a step (at 128 steps of 64 units: 60 KB of file instead of
140 KB, 2 ms to load instead of 90 ms, the same latency), and it runs in TFLite Micro and in old runtimes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters import linear
from edgekit.export.tflite.emitters.weights import Array
from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.ir import Value, ops


def scan(
    site: Site, op: ops.Gru | ops.Rnn, x: int, weights: Sequence[Value], initial: int, wants_sequence: bool
) -> tuple[int, int]:
    """One direction of one layer: the tensors of the states of all steps (the last state again if they are not wanted)
    and of the last state, (batch, hidden).
    """
    sheet = site.sheet
    axis = 1 if op.batch_first else 0
    shape = sheet.tensors[x].shape
    steps, batch, gates = shape[axis], shape[1 - axis], op.GATES * op.hidden
    b_ih, b_hh = (values_of(weights[2]), values_of(weights[3])) if len(weights) == 4 else (None, None)
    products = sheet.activation((*shape[:2], gates), TensorType.FLOAT32)
    product(site, sheet, x, weights[0], b_ih, products)
    if steps == 1:
        return _only_step(site, op, products, weights[1], b_hh, initial)
    step, state = sheet.constant(np.zeros(1, np.int32)), initial
    carried = [step, state, products]
    if wants_sequence:
        empty = sheet.activation((*shape[:2], op.hidden), TensorType.FLOAT32)
        zero = sheet.constant(np.zeros(1, np.float32))
        extent = sheet.ints((*shape[:2], op.hidden))
        site.write(Op.BROADCAST_TO, [zero, extent], [empty], Options("BroadcastToOptions"))
        carried.append(empty)
    condition, body = Sheet(), Sheet()
    condition.node = body.node = site.node
    condition.inputs = _like(condition, sheet, carried)
    goes_on = condition.activation((1,), TensorType.BOOL)
    limit = condition.constant(np.array([steps], np.int32))
    condition.operator(Op.LESS, [condition.inputs[0], limit], [goes_on], Options("LessOptions"))
    condition.outputs = [goes_on]
    body.inputs = _like(body, sheet, carried)
    body.outputs = _step(site, op, body, axis, batch, weights[1], b_hh)
    site.to.subgraphs += [condition, body]
    results = _like(sheet, sheet, carried)
    number = len(site.to.subgraphs)
    options = Options("WhileOptions", {"cond_subgraph_index": number - 1, "body_subgraph_index": number})
    site.write(Op.WHILE, carried, results, options)
    return results[3 if wants_sequence else 1], results[1]


def _only_step(
    site: Site, op: ops.Gru | ops.Rnn, products: int, w_hh: Value, b_hh: Array | None, initial: int
) -> tuple[int, int]:
    """A sequence of one step, as a stream has it, needs no loop."""
    sheet, shape = site.sheet, site.sheet.tensors[products].shape
    batch = shape[0] * shape[1]
    now, before = (sheet.activation((batch, shape[2]), TensorType.FLOAT32) for _ in range(2))
    _reshape(sheet, products, now)
    product(site, sheet, initial, w_hh, b_hh, before)
    state = _following(sheet, op, now, before, initial)
    sequence = sheet.activation((*shape[:2], op.hidden), TensorType.FLOAT32)
    _reshape(sheet, state, sequence)
    return sequence, state


def _following(sheet: Sheet, op: ops.Gru | ops.Rnn, now: int, before: int, state: int) -> int:
    """The next state, of the products of the input and of the state."""
    return _gru(sheet, now, before, state) if isinstance(op, ops.Gru) else _rnn(sheet, op, now, before)


def _like(sheet: Sheet, model: Sheet, tensors: Sequence[int]) -> list[int]:
    """New tensors with the shapes and types of existing ones."""
    return [sheet.activation(model.tensors[index].shape, model.tensors[index].type) for index in tensors]


def product(site: Site, sheet: Sheet, x: int, weight: Value, bias: Array | None, out: int) -> None:
    """x @ weight^T + bias, with integer weights if they are so."""
    values = values_of(weight)
    if weight.quant is not None:
        linear.hybrid(sheet, x, values, weight.quant, bias, out)
    else:
        # Weights in 16 bits are expanded in the main subgraph only: a loop would expand them in every step.
        filters = site.to.array(values) if sheet is site.sheet else sheet.constant(values)
        linear.write(sheet, x, filters, -1 if bias is None else sheet.constant(bias), out)


def _step(site: Site, op: ops.Gru | ops.Rnn, body: Sheet, axis: int, batch: int, w_hh: Value, b_hh: Array | None) -> list[int]:
    """The loop's body: what it carries into the next step."""
    step, state, products, *sequence = body.inputs
    hidden, gates = op.hidden, op.GATES * op.hidden
    shape = body.tensors[products].shape
    row = [shape[0], 1, gates] if axis == 1 else [1, shape[1], gates]
    taken, now = body.activation(row, TensorType.FLOAT32), body.activation((batch, gates), TensorType.FLOAT32)
    body.operator(Op.GATHER, [products, step], [taken], Options("GatherOptions", {"axis": axis}))
    _reshape(body, taken, now)
    before = body.activation((batch, gates), TensorType.FLOAT32)
    product(site, body, state, w_hh, b_hh, before)
    following = _following(body, op, now, before, state)
    one = body.constant(np.ones(1, np.int32))
    next_step = body.activation((1,), TensorType.INT32)
    body.operator(Op.ADD, [step, one], [next_step], Options("AddOptions"))
    carried = [next_step, following, products]
    if sequence:
        whole = body.tensors[sequence[0]].shape
        line = body.activation((whole[0], 1, hidden) if axis == 1 else (1, whole[1], hidden), TensorType.FLOAT32)
        _reshape(body, following, line)
        start = body.activation((3,), TensorType.INT32)
        around = body.constant(np.array([[axis, 2 - axis]], np.int32))
        body.operator(Op.PAD, [step, around], [start], Options("PadOptions"))
        updated = body.activation(whole, TensorType.FLOAT32)
        body.operator(Op.DYNAMIC_UPDATE_SLICE, [sequence[0], line, start], [updated])
        carried.append(updated)
    return carried


def _reshape(sheet: Sheet, x: int, out: int) -> None:
    shape = sheet.ints(sheet.tensors[out].shape)
    sheet.operator(Op.RESHAPE, [x, shape], [out], Options("ReshapeOptions"))


def _apply(sheet: Sheet, code: Op, *inputs: int, table: str | None = None) -> int:
    """An elementwise operator on tensors of one shape."""
    out = sheet.activation(sheet.tensors[inputs[0]].shape, TensorType.FLOAT32)
    sheet.operator(code, inputs, [out], None if table is None else Options(table))
    return out


def _rnn(body: Sheet, op: ops.Rnn, now: int, before: int) -> int:
    """h' = f(x + h), both products with their biases."""
    total = _apply(body, Op.ADD, now, before, table="AddOptions")
    return _apply(body, Op.TANH if op.nonlinearity == "tanh" else Op.RELU, total)


def _gru(body: Sheet, now: int, before: int, state: int) -> int:
    """r = s(x_r + h_r), z = s(x_z + h_z), n = tanh(x_n + r * h_n), h' = n + z * (h - n): Cho et al. 2014 in torch's form."""
    xs, hs = (_thirds(body, tensor, body.tensors[state].shape) for tensor in (now, before))
    reset, update = (
        _apply(body, Op.LOGISTIC, _apply(body, Op.ADD, x, h, table="AddOptions")) for x, h in zip(xs[:2], hs[:2], strict=True)
    )
    gated = _apply(body, Op.MUL, reset, hs[2], table="MulOptions")
    new = _apply(body, Op.TANH, _apply(body, Op.ADD, gated, xs[2], table="AddOptions"))
    kept = _apply(body, Op.MUL, _apply(body, Op.SUB, state, new, table="SubOptions"), update, table="MulOptions")
    return _apply(body, Op.ADD, kept, new, table="AddOptions")


def _thirds(body: Sheet, tensor: int, shape: tuple[int, ...]) -> list[int]:
    """The three gates' parts of a product."""
    axis = body.constant(np.array(1, np.int32))
    parts = [body.activation(shape, TensorType.FLOAT32) for _ in range(3)]
    body.operator(Op.SPLIT, [axis, tensor], parts, Options("SplitOptions", {"num_splits": 3}))
    return parts
