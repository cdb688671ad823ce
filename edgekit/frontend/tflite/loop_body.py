"""What stands in the body of a loop over the steps of a sequence, where edgekit has written it.

The loop carries the number of the step, the state, the products of the inputs of all steps with the input weights, and the
states of all steps if somebody reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from edgekit.formats.tflite.model import Operator, Subgraph
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.constants import constant_of
from edgekit.ir import QuantParams, ops

#: What the loop carries, by place.
STEP, STATE, PRODUCTS, SEQUENCE = range(4)


@dataclass(frozen=True)
class Product:
    """Weights of one product of a layer: (gates * hidden, width), and a bias."""

    weight: torch.Tensor
    quant: QuantParams | None
    bias: torch.Tensor | None


@dataclass(frozen=True)
class Loop:
    """What stands in a loop.

    Attributes:
        op: the layer.
        recurrent: the product with the state.
        steps: how often it goes around.
    """

    op: ops.Gru | ops.Rnn
    recurrent: Product
    steps: int


def loop_of(condition: Subgraph, body: Subgraph) -> Loop | None:
    """The layer that a loop computes; None where it is another loop."""
    steps = _limit(condition)
    return None if steps is None else _Reader(body).loop(steps)


def scaled(product: Product, scales: torch.Tensor | None) -> Product:
    """The product with a factor for each row of its weight, which becomes part of the row's scale."""
    if scales is None:
        return product
    factors, quant = scales.reshape(-1), product.quant
    if quant is not None and quant.axis is None:
        by_row = tuple((torch.tensor(quant.scale[0]) * factors).tolist())
        quant = replace(quant, scale=by_row, zero_point=quant.zero_point * len(by_row), axis=0)
    return replace(product, weight=product.weight * factors[:, None], quant=quant)


def _limit(condition: Subgraph) -> int | None:
    """The constant that the number of the step stays below."""
    if len(condition.operators) != 1 or condition.operators[0].code != Op.LESS:
        return None
    (less,) = condition.operators
    limit = condition.tensors[less.inputs[1]]
    counts = less.inputs[0] == condition.inputs[STEP] and less.outputs == condition.outputs
    return int(limit.array().reshape(-1)[0]) if counts and limit.data is not None and limit.nbytes == 4 else None


class _Unlike(Exception):
    """The body is another one."""


class _Reader:
    """A loop's body, read from its results backwards."""

    def __init__(self, body: Subgraph) -> None:
        self._body = body
        self._made = {output: operator for operator in body.operators for output in operator.outputs}

    def loop(self, steps: int) -> Loop | None:
        """What the body computes; None where it is not one of a layer's."""
        body = self._body
        try:
            self._same(len(body.outputs), len(body.inputs))
            self._same(body.outputs[PRODUCTS], body.inputs[PRODUCTS])
            self._counts()
            state = body.outputs[STATE]
            gru = self._operator(state).code == Op.ADD
            op, now, before = self._gru(state) if gru else self._rnn(state)
            axis = self._time(now)
            if len(body.outputs) > SEQUENCE:
                self._collects(state)
            recurrent = self._product(before)
        except (_Unlike, LookupError, ValueError):
            return None
        hidden = recurrent.weight.shape[1]
        fits = recurrent.weight.shape[0] == op.GATES * hidden
        return Loop(replace(op, hidden=hidden, batch_first=axis == 1), recurrent, steps) if fits else None

    def _gru(self, state: int) -> tuple[ops.Gru, int, int]:
        """h' = (h - n) * z + n, n = tanh(r * h_n + x_n), with r and z sigmoids of x + h."""
        h = self._body.inputs[STATE]
        kept, new = self._inputs(state, Op.ADD)
        difference, update = self._inputs(kept, Op.MUL)
        self._same(self._inputs(difference, Op.SUB), (h, new))
        gated, x_new = self._inputs(self._only(new, Op.TANH), Op.ADD)
        reset, h_new = self._inputs(gated, Op.MUL)
        (x_reset, h_reset), (x_update, h_update) = (
            self._inputs(self._only(gate, Op.LOGISTIC), Op.ADD) for gate in (reset, update)
        )
        now = self._thirds(x_reset, x_update, x_new)
        before = self._thirds(h_reset, h_update, h_new)
        return ops.Gru(hidden=1), now, before

    def _rnn(self, state: int) -> tuple[ops.Rnn, int, int]:
        """h' = f(x + h)."""
        kind = self._operator(state).code
        self._same(kind in (Op.TANH, Op.RELU), True)
        now, before = self._inputs(self._only(state, kind), Op.ADD)
        return ops.Rnn(hidden=1, nonlinearity="tanh" if kind == Op.TANH else "relu"), now, before

    def _counts(self) -> None:
        step, one = self._inputs(self._body.outputs[STEP], Op.ADD)
        self._same(step, self._body.inputs[STEP])
        self._same(self._constant(one).reshape(-1).tolist(), [1])

    def _time(self, now: int) -> int:
        """The axis along which the products of a step are taken."""
        (taken, _) = self._inputs(now, Op.RESHAPE)
        self._same(self._inputs(taken, Op.GATHER), (self._body.inputs[PRODUCTS], self._body.inputs[STEP]))
        options = self._operator(taken).options
        return int(options.fields.get("axis", 0)) if options else 0  # type: ignore[arg-type]

    def _collects(self, state: int) -> None:
        """The states of all steps, each in its place."""
        sequence, line, start = self._inputs(self._body.outputs[SEQUENCE], Op.DYNAMIC_UPDATE_SLICE)
        self._same((sequence, self._inputs(line, Op.RESHAPE)[0]), (self._body.inputs[SEQUENCE], state))
        self._same(self._inputs(start, Op.PAD)[0], self._body.inputs[STEP])

    def _product(self, tensor: int) -> Product:
        """The state's product: FULLY_CONNECTED, or that times constants plus others."""
        bias, scales = None, None
        if self._operator(tensor).code == Op.ADD:
            tensor, added = self._inputs(tensor, Op.ADD)
            bias = self._constant(added)
        if self._operator(tensor).code == Op.MUL:
            tensor, factors = self._inputs(tensor, Op.MUL)
            scales = self._constant(factors)
        state, weight, *own = self._inputs(tensor, Op.FULLY_CONNECTED)
        self._same(state, self._body.inputs[STATE])
        if own and own[0] >= 0:
            self._same((bias, scales), (None, None))
            bias = self._constant(own[0])
        self._constant(weight)
        data, quant = constant_of(self._body.tensors[weight])
        return scaled(Product(data, quant, bias), scales)

    # ------------------------------------------------------------------ the operators

    def _operator(self, tensor: int) -> Operator:
        if tensor not in self._made:
            raise _Unlike
        return self._made[tensor]

    def _inputs(self, tensor: int, code: Op) -> tuple[int, ...]:
        """The inputs of the operator that gives a tensor, which must be of this kind and fuse no activation."""
        operator = self._operator(tensor)
        fused = operator.options is not None and operator.options.fields.get("fused_activation_function", 0)
        if operator.code != code or fused:
            raise _Unlike
        return operator.inputs

    def _only(self, tensor: int, code: Op) -> int:
        """The input of an operator that takes one."""
        (given,) = self._inputs(tensor, code)
        return given

    def _thirds(self, *parts: int) -> int:
        """What these three parts are made of."""
        operator = self._operator(parts[0])
        self._same((operator.code, operator.outputs), (Op.SPLIT, parts))
        self._same(self._constant(operator.inputs[0]).reshape(-1).tolist(), [1])
        return operator.inputs[1]

    def _constant(self, tensor: int) -> torch.Tensor:
        if self._body.tensors[tensor].data is None:
            raise _Unlike
        return constant_of(self._body.tensors[tensor])[0]

    @staticmethod
    def _same(found: object, wanted: object) -> None:
        if found != wanted:
            raise _Unlike
