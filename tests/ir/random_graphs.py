"""Random small graphs for property tests: many ops, state, quantisation, odd names and several outputs."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

from edgekit.ir import Batch, Graph, N, QuantParams, TensorType, Value, ops

_NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_./]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
)
_FLOATS = st.floats(width=32, allow_nan=False)
_SCALES = st.floats(2.0**-20, 2.0**20, width=32)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph over values of shape (N, 4, 6, 6) or that flattened, of one to eight nodes."""
    graph = Graph(draw(_NAMES))
    image = TensorType(torch.float32, (N, 4, 6, 6))
    values = [graph.add_input(draw(_NAMES), image) for _ in range(draw(st.integers(1, 2)))]
    for _ in range(draw(st.integers(1, 8))):
        x = draw(st.sampled_from([v for v in values if v.type == image]))
        values += draw(st.sampled_from(_STEPS))(draw, graph, x)
    for value in graph.values():
        if value.type.is_float and draw(st.integers(0, 3)) == 0:
            value.quant = draw(_quant(value))
    graph.outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return graph


@st.composite
def _quant(draw: st.DrawFn, value: Value) -> QuantParams:
    dtype = draw(st.sampled_from(["int8", "uint8", "int16", "int4"]))
    narrow = draw(st.booleans())
    if value.is_constant and value.type.rank and draw(st.booleans()):
        axis = draw(st.integers(0, value.type.rank - 1))
        size = value.tensor_shape[axis]
        zero = draw(st.lists(st.integers(-8, 7), min_size=size, max_size=size))
        return QuantParams(dtype, tuple(draw(st.lists(_SCALES, min_size=size, max_size=size))), tuple(zero), axis, narrow)
    return QuantParams(dtype, (draw(_SCALES),), (draw(st.integers(-8, 7)),), None, narrow)


def _constant(draw: st.DrawFn, graph: Graph, *shape: int) -> Value:
    """State or a constant of the graph's own: trainable or not, tied or not."""
    data = torch.tensor(draw(st.lists(_FLOATS, min_size=2, max_size=2))).repeat(1 + torch.Size(shape).numel() // 2)
    data = data[: torch.Size(shape).numel()].reshape(shape)
    kind = draw(st.sampled_from(["constant", "parameter", "frozen", "buffer", "transient"]))
    if kind == "constant":
        return graph.constant(data, draw(_NAMES))
    name = draw(_NAMES.filter(lambda name: name not in graph.state))
    tensor = nn.Parameter(data, requires_grad=kind == "parameter") if kind in ("parameter", "frozen") else data
    value = graph.add_state(name, tensor, transient=kind == "transient")
    if draw(st.integers(0, 4)) == 0:
        graph.add_state(draw(_NAMES.filter(lambda name: name not in graph.state)), value, transient=draw(st.booleans()))
    return value


def _conv(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    op = ops.Conv2d(padding=((1, 1), (1, 1)), activation=draw(st.sampled_from(["none", "relu6"])))
    bias = _constant(draw, graph, 4) if draw(st.booleans()) else None
    return [graph.add(op, x, _constant(draw, graph, 4, 4, 3, 3), bias, name=draw(_NAMES))]


def _unary(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    slope = draw(st.floats(allow_nan=False))
    kinds = [ops.Relu(), ops.Gelu("tanh"), ops.Softmax(1), ops.LeakyRelu(slope), ops.Clamp(None, slope), ops.Dropout(0.25)]
    return [graph.add(draw(st.sampled_from(kinds)), x)]


def _binary(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    other = _constant(draw, graph, *draw(st.sampled_from([(), (1,), (4, 1, 1), (1, 4, 6, 6)])))
    return [graph.add(draw(st.sampled_from([ops.Add("relu"), ops.Mul(), ops.Maximum()])), x, other)]


def _norm(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    weight = _constant(draw, graph, 4) if draw(st.booleans()) else None
    return [graph.add(ops.BatchNorm(), x, weight, None, _constant(draw, graph, 4), _constant(draw, graph, 4))]


def _split(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    parts = graph.add_node(ops.Split(1, (1, 3)), [x], name=draw(_NAMES)).outputs
    return [*parts, graph.add(ops.Concat(1), *parts)]


def _reshape(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    shape: Any = draw(st.sampled_from([(N, 144), (Batch(4), 36), (Batch(144),)]))
    return [graph.add(ops.Reshape(shape), x)]


def _pick(draw: st.DrawFn, graph: Graph, x: Value) -> list[Value]:
    index = graph.constant(torch.tensor(draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))), draw(_NAMES))
    return [graph.add(ops.Gather(1), x, index)]


_STEPS = [_conv, _unary, _binary, _norm, _split, _reshape, _pick]
