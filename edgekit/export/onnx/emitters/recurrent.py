"""LSTM, GRU and RNN. One operator a layer, both directions in it; sequences are time first between the layers.

ONNX stacks gates in another order than torch: input, output, forget, cell for LSTM (torch: i, f, g, o) and update, reset,
hidden for GRU (torch: r, z, n). Torch applies the reset gate after the recurrent product, which is ``linear_before_reset`` = 1.
"""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.export.onnx.dims import reshape
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Attribute, Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node, Value
from edgekit.ir.quant import QuantParams

_Recurrent = ops.Lstm | ops.Gru | ops.Rnn

#: For each op, ONNX's operator and where in torch's weights its gates stand.
_FORMS: dict[type[ops.Op], tuple[str, tuple[int, ...]]] = {
    ops.Lstm: ("LSTM", (0, 3, 1, 2)),
    ops.Gru: ("GRU", (1, 0, 2)),
    ops.Rnn: ("RNN", (0,)),
}


@emits(ops.Lstm, ops.Gru, ops.Rnn)
def recurrent(to: Emission, node: Node, op: _Recurrent) -> tuple[Tensor | None, ...]:
    """A stack of layers; final states are written only if something reads them."""
    x = to.read(node.input(0))
    if op.batch_first:
        x = to.add("Transpose", x, perm=(1, 0, 2))
    given = [_by_layer(to, op, node.optional(1 + state)) for state in range(op.STATES)]
    weights = _weights(node, op)
    wanted = [to.graph.readers(output) > 0 for output in node.outputs]
    finals: list[list[Tensor]] = [[] for _ in range(op.STATES)]
    for layer in range(op.layers):
        initial = [states[layer] for states in given]
        y, *states = _layer(to, op, x, weights[layer * op.directions : (layer + 1) * op.directions], initial)
        for kept, state in zip(finals, states, strict=True):
            kept.append(state)
        last = layer == op.layers - 1
        if not last or wanted[0]:
            x = _joined(to, node, op, y, batch_first=last and op.batch_first)
    results: list[Tensor | None] = [x if wanted[0] else None]
    for kept, want in zip(finals, wanted[1:], strict=True):
        final = kept[0] if len(kept) == 1 or not want else to.add("Concat", *kept, axis=0)
        results.append(final if want else None)
    return tuple(results)


def _layer(
    to: Emission, op: _Recurrent, x: Tensor, weights: list[list[Value]], initial: list[Tensor | None]
) -> tuple[Tensor, ...]:
    """One layer: Y (time, directions, batch, hidden) and the final states (directions, batch, hidden)."""
    operator, order = _FORMS[type(op)]
    attributes: dict[str, Attribute] = {"hidden_size": op.hidden}
    if op.bidirectional:
        attributes["direction"] = "bidirectional"
    if isinstance(op, ops.Gru):
        attributes["linear_before_reset"] = 1
    if isinstance(op, ops.Rnn):
        attributes["activations"] = [{"tanh": "Tanh", "relu": "Relu"}[op.nonlinearity]] * op.directions
    w = _stacked(to, [direction[:1] for direction in weights], order)
    r = _stacked(to, [direction[1:2] for direction in weights], order)
    b = _stacked(to, [direction[2:] for direction in weights], order) if op.bias else None
    return to.add_many(operator, [x, w, r, b, None, *initial], 1 + op.STATES, **attributes)


def _joined(to: Emission, node: Node, op: _Recurrent, y: Tensor, *, batch_first: bool) -> Tensor:
    """Y with the directions side by side in the last dimension, in the order of the next layer's input or of the result."""
    batch, time = node.input(0).shape[:2] if op.batch_first else node.input(0).shape[1::-1]
    width = op.directions * op.hidden
    if batch_first:
        y = to.add("Transpose", y, perm=(2, 0, 1, 3))
        return reshape(to, y, (batch, time, op.directions, op.hidden), (batch, time, width))
    if op.directions == 1:
        return to.add("Squeeze", y, to.ints([1]))
    y = to.add("Transpose", y, perm=(0, 2, 1, 3))
    return reshape(to, y, (time, batch, op.directions, op.hidden), (time, batch, width))


def _by_layer(to: Emission, op: _Recurrent, state: Value | None) -> list[Tensor | None]:
    """The initial states (directions, batch, hidden) of each layer; absent is zero in ONNX too."""
    if state is None:
        return [None] * op.layers
    if op.layers == 1:
        return [to.read(state)]
    return list(to.add_many("Split", [to.read(state), to.ints([op.directions] * op.layers)], op.layers, axis=0))


def _weights(node: Node, op: _Recurrent) -> list[list[Value]]:
    """For each layer and direction: w_ih, w_hh and, with bias, b_ih, b_hh."""
    each = 4 if op.bias else 2
    values = [value for value in node.inputs[1 + op.STATES :] if value is not None]
    if not all(value.is_constant for value in values):
        raise Unsupported(
            f"the weights of '{op.name}' are computed by the model",
            hint="remove the parametrisation (weight_norm and the like) before export: torch.nn.utils.parametrize",
        )
    return [values[start : start + each] for start in range(0, len(values), each)]


def _stacked(to: Emission, directions: list[list[Value]], order: tuple[int, ...]) -> Tensor:
    """Weights with gates in ONNX's order and the directions stacked in front; the two biases of a direction are joined."""
    values = [value for direction in directions for value in direction]
    if any(value.quant is not None for value in values):
        each = [
            to.add("Concat", *(_dequantized(to, v, order) for v in d), axis=0) if len(d) > 1 else _dequantized(to, d[0], order)
            for d in directions
        ]
        rows = [to.add("Unsqueeze", tensor, to.ints([0])) for tensor in each]
        return rows[0] if len(rows) == 1 else to.add("Concat", *rows, axis=0)
    data = [torch.cat([_reordered(value.tensor.detach(), order) for value in direction]) for direction in directions]
    return to.initializer(torch.stack(data), f"{to.label(values[0])}/gates")


def _dequantized(to: Emission, value: Value, order: tuple[int, ...]) -> Tensor:
    """A weight whose integers are in the file, gates in ONNX's order."""
    if value.quant is None:
        return to.derive(value, "gates", lambda data: _reordered(data, order))
    quant = value.quant
    if quant.axis == 0:
        scale = _reordered(torch.tensor(quant.scale, dtype=torch.float64), order)
        zero = _reordered(torch.tensor(quant.zero_point), order)
        quant = QuantParams(quant.dtype, tuple(scale.tolist()), tuple(zero.tolist()), 0, quant.narrow)
    integers = to.initializer(_reordered(to.constant_integers(value), order), f"{to.label(value)}/gates")
    return to.dequantize(integers, quant, to.label(value))


def _reordered(data: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """The gates, stacked along axis 0, in another order."""
    gates = data.chunk(len(order))
    return torch.cat([gates[index] for index in order]).contiguous()
