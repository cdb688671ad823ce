"""An LSTM in integers: UNIDIRECTIONAL_SEQUENCE_LSTM with 8-bit activations and weights, and a 16-bit cell state.

The kernel keeps its states in variable tensors; as in float, every call writes the initial ones into them first.
"""

from __future__ import annotations

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.tflite.constants import values_of
from edgekit.export.tflite.element_types import quantization
from edgekit.export.tflite.emission import Site
from edgekit.formats.tflite.model import Options, OptionValue
from edgekit.formats.tflite.schema_generated import ActivationFunctionType, TensorType
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import QuantParams, Value, ops
from edgekit.ir.integer.lstm import Scales, bias_integers, gate_scales


def integer_lstm(site: Site, op: ops.Lstm) -> None:
    """One layer in one direction.

    Raises:
        Unsupported: several of them in one node, or a scale that the kernel does not take.
    """
    if op.layers != 1 or op.bidirectional:
        raise Unsupported("an integer LSTM of several layers or directions", hint="one node for each layer and direction")
    node, sheet = site.node, site.sheet
    y, _, c = node.outputs
    weights = [value for value in node.inputs[3:] if value is not None]
    scales = Scales(_quant(node.input(0)), _quant(y), _quant(c))
    shape = site.shape(0)
    batch = shape[0 if op.batch_first else 1]
    kinds = ((TensorType.INT8, scales.hidden), (TensorType.INT16, scales.cell))
    states = [sheet.variable((batch, op.hidden), kind, quantization(quant)) for kind, quant in kinds]
    for place, ((_, quant), state) in enumerate(zip(kinds, states, strict=True)):
        initial = _initial(site, place, batch, op.hidden, quant)
        site.write(Op.BROADCAST_TO, [initial, sheet.ints((batch, op.hidden))], [state], Options("BroadcastToOptions"))
    matrices = [_gates(site, value, op.hidden) for value in weights[:2]]
    biases = _biases(site, weights, scales, op.hidden)
    fields: dict[str, OptionValue] = {"fused_activation_function": ActivationFunctionType.TANH}
    if not op.batch_first:
        fields["time_major"] = True
    # LiteRT asks for five tensors between its steps and reads the last one's scale alone; TFLite Micro wants them empty.
    between = [sheet.activation((0,), TensorType.INT16, quantization(scales.cell)) for _ in range(4)]
    between.append(sheet.activation((0,), TensorType.INT8, quantization(scales.hidden)))
    absent = [-1] * 3
    inputs = [site.read(), *matrices[0], *matrices[1], *absent, *biases, -1, -1, *states, -1, *absent]
    sequence = site.give()
    options = Options("UnidirectionalSequenceLSTMOptions", fields)
    sheet.operator(Op.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, [sequence], options, between)
    _finals(site, op, sequence, states[1], scales)


def _quant(value: Value) -> QuantParams:
    assert value.quant is not None
    return value.quant


def _initial(site: Site, place: int, batch: int, hidden: int, quant: QuantParams) -> int:
    """(batch, hidden): the given state, or zeros."""
    if site.node.optional(1 + place) is None:
        zeros = np.full((batch, hidden), quant.zero_point[0], np.int8 if quant.dtype == "int8" else np.int16)
        return site.sheet.constant(zeros, quantization(quant))
    given = site.read(1 + place)
    out = site.new_like(given, (batch, hidden))
    site.to.reshape(given, out)
    return out


def _gates(site: Site, value: Value, hidden: int) -> list[int]:
    """The matrices of the four gates, each with its scale."""
    quant, array = _quant(value), values_of(value)
    return [
        site.to.array(array[gate * hidden : (gate + 1) * hidden], QuantParams(quant.dtype, (scale,), (0,), None, quant.narrow))
        for gate, scale in enumerate(gate_scales(quant, hidden))
    ]


def _biases(site: Site, weights: list[Value], scales: Scales, hidden: int) -> list[int]:
    integers, each = bias_integers(tuple(value.tensor for value in weights[2:]), scales.x, _quant(weights[0]), hidden)
    rows = integers.to("cpu").numpy().astype(np.int32).reshape(4, hidden)
    return [
        site.sheet.constant(row, quantization(QuantParams("int32", (scale,)))) for row, scale in zip(rows, each, strict=True)
    ]


def _finals(site: Site, op: ops.Lstm, sequence: int, cell: int, scales: Scales) -> None:
    """The last step's hidden state and the cell state, where something reads them."""
    wanted = [site.to.graph.readers(output) > 0 for output in site.node.outputs[1:]]
    if not any(wanted):
        return
    shape = site.sheet.tensors[sequence].shape
    time = 1 if op.batch_first else 0
    begin, extent = [0, 0, 0], list(shape)
    begin[time], extent[time] = shape[time] - 1, 1
    last = site.new_like(sequence, extent)
    site.write(Op.SLICE, [sequence, site.sheet.ints(begin), site.sheet.ints(extent)], [last], Options("SliceOptions"))
    if wanted[0]:
        site.to.reshape(last, site.give(1))
    if wanted[1]:
        _cell_after(site, last, cell, site.give(2), scales)


def _cell_after(site: Site, last: int, cell: int, out: int, scales: Scales) -> None:
    """The cell state, read where the sequence is known to have run: a sum with nothing of what came out of it."""
    shape = site.sheet.tensors[out].shape
    wide = QuantParams("int16", (scales.hidden.scale[0],), (0,))
    real, row = site.new(shape), site.new(shape, TensorType.INT16, quantization(wide))
    held = site.new_like(last, shape)
    site.to.reshape(last, held)
    site.write(Op.DEQUANTIZE, [held], [real], Options("DequantizeOptions"))  # old runtimes have no QUANTIZE of 8 bits to 16
    site.write(Op.QUANTIZE, [real], [row], Options("QuantizeOptions"))
    zero = site.sheet.constant(np.zeros((1,), np.int16), quantization(scales.cell))
    nothing, held = (site.new(shape, TensorType.INT16, quantization(scales.cell)) for _ in range(2))
    site.write(Op.MUL, [row, zero], [nothing], Options("MulOptions"))
    site.to.reshape(cell, held)
    site.write(Op.ADD, [held, nothing], [out], Options("AddOptions"))
