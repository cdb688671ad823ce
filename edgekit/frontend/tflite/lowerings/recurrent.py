"""Recurrent layers over a whole sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.formats.tflite.schema_generated import ActivationFunctionType
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, plain
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import Value, ops

#: Places of the inputs of one direction: weights from the input, from the last result, and biases of the four gates.
_INPUT, _RECURRENT, _PEEPHOLE, _BIAS, _PROJECTION = range(1, 5), range(5, 9), range(9, 12), range(12, 16), range(16, 18)

_GATES = "input, forget, cell, output"


@lowers(Op.UNIDIRECTIONAL_SEQUENCE_LSTM)
def unidirectional_sequence_lstm(
    ctx: Lowering,
    *inputs: Held | None,
    fused_activation_function: int = 0,
    cell_clip: float = 0.0,
    proj_clip: float = 0.0,
    time_major: bool = False,
) -> Result:
    """Gates stand in the order input, forget, cell, output in both. The states begin at zero in every call, unless the file
    itself writes them before; what reads them afterwards gets the final ones.

    Raises:
        Unsupported: peepholes, a projection, layer normalisation, coupled gates or clipping.
    """
    x, given = ctx.tensor(inputs[0], "input"), [*inputs, *[None] * (24 - len(inputs))]
    extras = [*(given[i] for i in _PEEPHOLE), *(given[i] for i in _PROJECTION), *given[20:24]]
    _only_plain(ctx, extras, cell_clip, proj_clip, fused_activation_function)
    w_ih, w_hh = (
        _stacked(ctx, [given[i] for i in _INPUT], "weight_ih"),
        _stacked(ctx, [given[i] for i in _RECURRENT], "weight_hh"),
    )
    bias = _stacked(ctx, [given[i] for i in _BIAS], "bias_ih")
    zeros = ctx.parameter(ctx.constant(torch.zeros(bias.type.at(1)), "bias_hh"), "bias_hh")
    op = ops.Lstm(hidden=_hidden(ctx, x, (w_ih, w_hh, bias), gates=4), batch_first=not time_major)
    states = [_initial(ctx, place) for place in (18, 19)]
    node = ctx.add_node(op, ctx.plain(x), *states, w_ih, w_hh, bias, zeros)
    for place, final in zip((18, 19), node.outputs[1:], strict=True):
        if place < len(ctx.operator.inputs) and ctx.operator.inputs[place] >= 0:
            ctx.building.held[ctx.operator.inputs[place]] = plain(ctx.reshape(final, final.shape[1:]))
    return plain(node.output)


def _initial(ctx: Lowering, place: int) -> Value | None:
    """The state that the file has written into a variable tensor, None for zeros."""
    index = ctx.operator.inputs[place] if place < len(ctx.operator.inputs) else -1
    held = ctx.building.held.get(index)
    if not isinstance(held, Held) or _is_zero(ctx, held.value):
        if not any(index in operator.outputs for operator in ctx.subgraph.operators):
            _note(ctx)
        return None
    state = ctx.plain(held)
    if state.type.rank != 2:
        raise ctx.damaged(f"a state {list(state.shape)}")
    return ctx.reshape(state, (1, *state.shape))


def _is_zero(ctx: Lowering, value: Value) -> bool:
    if value.producer is not None and isinstance(value.producer.op, ops.Expand | ops.Reshape):
        return _is_zero(ctx, value.producer.input(0))
    return ctx.is_known(value) and not bool(value.tensor.any())


@lowers(Op.UNIDIRECTIONAL_SEQUENCE_RNN)
def unidirectional_sequence_rnn(
    ctx: Lowering,
    input: Held,
    input_weights: Held,
    recurrent_weights: Held,
    bias: Held,
    hidden_state: Held | None = None,
    *,
    time_major: bool = False,
    fused_activation_function: int = 0,
) -> Result:
    """h = f(w_ih x + w_hh h + b), f tanh or relu."""
    kinds = {ActivationFunctionType.TANH: "tanh", ActivationFunctionType.RELU: "relu"}
    kind = next((name for code, name in kinds.items() if code == fused_activation_function), None)
    if kind is None:
        raise ctx.refused(f"'{ctx.op_name}' with the activation {fused_activation_function}", "tanh or relu")
    w_ih, w_hh = (ctx.parameter(ctx.plain(w), n) for w, n in ((input_weights, "weight_ih"), (recurrent_weights, "weight_hh")))
    b_ih = ctx.parameter(ctx.plain(bias), "bias_ih")
    zeros = ctx.parameter(ctx.constant(torch.zeros(b_ih.type.at(1)), "bias_hh"), "bias_hh")
    op = ops.Rnn(hidden=_hidden(ctx, input, (w_ih, w_hh, b_ih), gates=1), batch_first=not time_major, nonlinearity=kind)
    _note(ctx)
    return plain(ctx.add(op, ctx.plain(input), None, w_ih, w_hh, b_ih, zeros))


@lowers(Op.BIDIRECTIONAL_SEQUENCE_LSTM)
def bidirectional_sequence_lstm(
    ctx: Lowering,
    *inputs: Held | None,
    fused_activation_function: int = 0,
    cell_clip: float = 0.0,
    proj_clip: float = 0.0,
    merge_outputs: bool = False,
    time_major: bool = True,
) -> Result:
    """Forward weights from place 1, backward ones from 18; results joined with ``merge_outputs``."""
    x, given = ctx.tensor(inputs[0], "input"), [*inputs, *[None] * (48 - len(inputs))]
    ctx.need(merge_outputs, "with two results", "let the layer join both directions")
    extras = [given[i + shift] for shift in (0, 17) for i in (*_PEEPHOLE, *_PROJECTION)] + given[39:48]
    _only_plain(ctx, extras, cell_clip, proj_clip, fused_activation_function)
    weights: list[Value] = []
    for shift, suffix in ((0, ""), (17, "_reverse")):
        parts = [[given[i + shift] for i in places] for places in (_INPUT, _RECURRENT, _BIAS)]
        names = [f"{name}{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih")]
        weights += [_stacked(ctx, part, name) for part, name in zip(parts, names, strict=True)]
        zeros = ctx.constant(torch.zeros(weights[-1].type.at(1)), "zeros")
        weights.append(ctx.parameter(zeros, f"bias_hh{suffix}"))
    sizes = {_hidden(ctx, x, (w_ih, w_hh, bias), gates=4) for w_ih, w_hh, bias in (weights[:3], weights[4:7])}
    if len(sizes) != 1:
        raise ctx.damaged("its directions differ in width")
    op = ops.Lstm(hidden=sizes.pop(), bidirectional=True, batch_first=not time_major)
    _note(ctx)
    return plain(ctx.add(op, ctx.plain(x), None, None, *weights))


def _hidden(ctx: Lowering, x: Held, weights: Sequence[Value], *, gates: int) -> int:
    """The width of the state.

    Raises:
        InputError: the weights of one direction (from the input, from the state, bias) do not fit each other or the input.
            Kernels trust that they do.
    """
    w_ih, w_hh, bias = weights
    hidden = int(w_hh.shape[1]) if w_hh.type.rank == 2 else 0
    rows = gates * hidden
    if hidden < 1 or x.rank != 3 or w_ih.shape != (rows, x.shape[2]) or w_hh.shape[0] != rows or bias.shape != (rows,):
        raise ctx.damaged(f"weights {[list(w.shape) for w in weights]} for {list(x.shape)}")
    return hidden


def _only_plain(ctx: Lowering, extras: list[Held | None], cell_clip: float, proj_clip: float, fused: int) -> None:
    ctx.need(
        all(x is None for x in extras) and not proj_clip,
        "with peepholes, a projection or layer normalisation",
        "use a plain LSTM layer: keras.layers.LSTM",
    )
    if cell_clip:  # TensorFlow's converter writes 10 for Keras layers, which clip nothing
        ctx.graph.notes.append(
            f"the file clips the cell state of '{ctx.layer}' to {cell_clip:g} on both sides; the graph, like the Keras layer, "
            "does not"
        )
    ctx.need(fused == ActivationFunctionType.TANH, f"with the activation {fused}", "use activation='tanh'")


def _stacked(ctx: Lowering, gates: list[Held | None], name: str) -> Value:
    """The weights of four gates as one parameter.

    Raises:
        Unsupported: a gate is missing or computed.
    """
    ctx.need(all(gate is not None and ctx.is_known(gate.value) for gate in gates), f"without one of the gates {_GATES}")
    parts = [ctx.plain(gate) for gate in gates if gate is not None]
    data = torch.cat([part.tensor for part in parts], 0)
    whole = ctx.constant(data, name)
    scales = [part.quant for part in parts]
    if all(q is not None and q == scales[0] and q.axis is None for q in scales):
        whole.quant = scales[0]
    return ctx.parameter(whole, name)


def _note(ctx: Lowering) -> None:
    note = f"'{ctx.layer}' begins every call with states of zero; LiteRT carries them from one call of the file to the next"
    if note not in ctx.graph.notes:
        ctx.graph.notes.append(note)
