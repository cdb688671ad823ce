"""LSTM as UNIDIRECTIONAL_SEQUENCE_LSTM; GRU and RNN as a WHILE over the time steps.

The kernel of the sequence LSTM keeps its states in variable tensors from one call to the next: the second window that an
app feeds would start where the first one ended. Here every call writes the initial states into them first, with an
operator that no delegate takes over, so that the file has no memory, as the source has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.integer_lstm import integer_lstm
from edgekit.export.tflite.emitters.loop import scan
from edgekit.export.tflite.emitters.weights import Array
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options, OptionValue
from edgekit.formats.tflite.schema_generated import ActivationFunctionType, TensorType
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import QuantParams, Value, ops

_Recurrent = ops.Lstm | ops.Gru | ops.Rnn


@dataclass(frozen=True)
class Direction:
    """One direction of one layer.

    Attributes:
        x: the layer's input, (batch, time, features) or time first, reversed in time for the backward direction.
        weights: w_ih, w_hh and, with biases, b_ih and b_hh.
        initial: the tensors of the initial states, each (batch, hidden).
        wants_sequence: whether something reads the states of all steps.
        wants_states: whether something reads each of the final states.
    """

    x: int
    weights: tuple[Value, ...]
    initial: tuple[int, ...]
    wants_sequence: bool
    wants_states: tuple[bool, ...]

    def bias(self) -> Array | None:
        """The sum of both biases, None without."""
        if len(self.weights) == 2:
            return None
        total: Array = values_of(self.weights[2]).astype(np.float32) + values_of(self.weights[3]).astype(np.float32)
        return total


@emits(ops.Lstm, ops.Gru, ops.Rnn)
def recurrent(site: Site, op: _Recurrent) -> None:
    """Layer by layer, direction by direction; final states only if something reads them."""
    if site.is_integer and isinstance(op, ops.Lstm):
        integer_lstm(site, op)
        return
    if site.is_integer:
        raise Unsupported(
            f"'{op.name}' with integer activations",
            hint="use tflite-dynamic (integer weights, float activations) or tflite-fp32",
        )
    weights = [value for value in site.node.inputs[1 + op.STATES :] if value is not None]
    if any(not value.is_constant for value in weights):
        raise Unsupported(f"'{op.name}' with weights that the model computes", hint="make the weights parameters")
    width = 4 if op.bias else 2
    assert len(weights) == op.layers * op.directions * width
    wanted = [site.to.graph.readers(output) > 0 for output in site.node.outputs]
    y = site.read()
    finals: list[list[int]] = [[] for _ in range(op.STATES)]
    for layer in range(op.layers):
        wants = wanted[0] or layer < op.layers - 1
        sequences = []
        for direction in range(op.directions):
            place = layer * op.directions + direction
            x = _reversed(site, y, op) if direction else y
            given = tuple(weights[place * width : (place + 1) * width])
            initial = tuple(_initial(site, op, state, place) for state in range(op.STATES))
            sequence, states = _run(site, op, Direction(x, given, initial, wants, tuple(wanted[1:])))
            sequences.append(_reversed(site, sequence, op) if direction and wants else sequence)
            for kept, state in zip(finals, states, strict=True):
                kept.append(state)
        y = _side_by_side(site, sequences) if wants else y
    _bind(site, y, finals, wanted)


def _run(site: Site, op: _Recurrent, direction: Direction) -> tuple[int, tuple[int, ...]]:
    """The tensors of one direction's sequence and of its final states (batch, hidden)."""
    if isinstance(op, ops.Lstm):
        return _lstm(site, op, direction)
    sequence, state = scan(site, op, direction.x, direction.weights, direction.initial[0], direction.wants_sequence)
    return sequence, (state,)


def _lstm(site: Site, op: ops.Lstm, direction: Direction) -> tuple[int, tuple[int, ...]]:
    """The fused kernel. Gates stand in the order input, forget, cell, output in torch and here."""
    sheet, hidden = site.sheet, op.hidden
    shape = sheet.tensors[direction.x].shape
    batch = shape[0 if op.batch_first else 1]
    states = [sheet.variable((batch, hidden)) for _ in range(2)]
    for state, initial in zip(states, direction.initial, strict=True):
        # BROADCAST_TO: delegates leave it alone; a copy that XNNPACK folds would be made once and not in every call.
        site.write(Op.BROADCAST_TO, [initial, sheet.ints((batch, hidden))], [state], Options("BroadcastToOptions"))
    w_ih, w_hh = ([_gate(site, value, gate, hidden) for gate in range(4)] for value in direction.weights[:2])
    bias = direction.bias()
    total = np.zeros(4 * hidden, np.float32) if bias is None else bias
    biases = [sheet.constant(total[gate * hidden : (gate + 1) * hidden]) for gate in range(4)]
    out = sheet.activation((*shape[:2], hidden), TensorType.FLOAT32)
    options: dict[str, OptionValue] = {"fused_activation_function": ActivationFunctionType.TANH}
    if not op.batch_first:
        options["time_major"] = True
    if direction.weights[0].quant is not None or direction.weights[1].quant is not None:
        options["asymmetric_quantize_inputs"] = True
    absent = [-1] * 3
    inputs = [direction.x, *w_ih, *w_hh, *absent, *biases, -1, -1, *states, -1, *absent]
    table = Options("UnidirectionalSequenceLSTMOptions", options)
    site.write(Op.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, [out], table)
    if not any(direction.wants_states):
        return out, tuple(states)
    last = _last_step(site, out, op.batch_first)
    return out, (last, _cell_after(site, states[1], last) if direction.wants_states[1] else states[1])


def _gate(site: Site, value: Value, gate: int, hidden: int) -> int:
    """The weights of one gate; the kernel has one scale for each of its matrices.

    Raises:
        Unsupported: integer weights with several scales in one gate.
    """
    rows = slice(gate * hidden, (gate + 1) * hidden)
    array, quant = values_of(value)[rows], value.quant
    if quant is not None and quant.axis is not None:
        scales = set(quant.scale[rows])
        if len(scales) != 1:
            raise Unsupported("LSTM weights with one scale per channel", hint="use one scale for each gate's matrix")
        quant = QuantParams(quant.dtype, (scales.pop(),), (0,), None, quant.narrow)
    return site.to.array(array, quant)


def _cell_after(site: Site, cell: int, last: int) -> int:
    """The cell state after the sequence, read where the sequence is known to have run.

    Nothing but the order of the operators says when a variable is read, and delegates change that order; a product with
    zero that is added to it makes it depend on the sequence.
    """
    shape = site.sheet.tensors[cell].shape
    nothing, out = site.new(shape), site.new(shape)
    zero = site.sheet.constant(np.zeros((), np.float32))
    site.write(Op.MUL, [last, zero], [nothing], Options("MulOptions"))
    site.write(Op.ADD, [cell, nothing], [out], Options("AddOptions"))
    return out


def _last_step(site: Site, sequence: int, batch_first: bool) -> int:
    """(batch, hidden) of the last time step."""
    shape = site.sheet.tensors[sequence].shape
    axis = 1 if batch_first else 0
    batch, hidden = shape[1 - axis], shape[2]
    begin = [0, 0, 0]
    begin[axis] = shape[axis] - 1
    extent = [size if place != axis else 1 for place, size in enumerate(shape)]
    cut, out = site.new(extent), site.new((batch, hidden))
    site.write(Op.SLICE, [sequence, site.sheet.ints(begin), site.sheet.ints(extent)], [cut], Options("SliceOptions"))
    site.to.reshape(cut, out)
    return out


def _initial(site: Site, op: _Recurrent, state: int, place: int) -> int:
    """(batch, hidden) of the initial state of one direction; zeros where none is given."""
    shape = site.shape(0)
    batch = shape[0 if op.batch_first else 1]
    if site.node.optional(1 + state) is None:
        return site.sheet.constant(np.zeros((batch, op.hidden), np.float32))
    every, out = site.read(1 + state), site.new((batch, op.hidden))
    if op.layers * op.directions > 1:
        extent = (1, batch, op.hidden)
        cut = site.new(extent)
        begin = site.sheet.ints((place, 0, 0))
        site.write(Op.SLICE, [every, begin, site.sheet.ints(extent)], [cut], Options("SliceOptions"))
        every = cut
    site.to.reshape(every, out)
    return out


def _reversed(site: Site, x: int, op: _Recurrent) -> int:
    """A sequence backwards in time."""
    out = site.new_like(x, site.sheet.tensors[x].shape)
    axis = site.sheet.ints([1 if op.batch_first else 0])
    site.write(Op.REVERSE_V2, [x, axis], [out], Options("ReverseV2Options"))
    return out


def _side_by_side(site: Site, sequences: list[int]) -> int:
    """The sequences of both directions, joined along the features."""
    if len(sequences) == 1:
        return sequences[0]
    shape = site.sheet.tensors[sequences[0]].shape
    out = site.new((*shape[:2], shape[2] * len(sequences)))
    site.write(Op.CONCATENATION, sequences, [out], Options("ConcatenationOptions", {"axis": 2}))
    return out


def _bind(site: Site, y: int, finals: list[list[int]], wanted: list[bool]) -> None:
    """Make the results the outputs of the node; what nothing reads is left out."""
    if wanted[0]:
        site.alias(y)
    for place, (states, want) in enumerate(zip(finals, wanted[1:], strict=True), start=1):
        if not want:
            continue
        out = site.give(place)
        if len(states) == 1:
            site.to.reshape(states[0], out)
            continue
        layers = []
        for state in states:
            layers.append(site.new((1, *site.sheet.tensors[state].shape)))
            site.to.reshape(state, layers[-1])
        site.write(Op.CONCATENATION, layers, [out], Options("ConcatenationOptions", {"axis": 0}))
