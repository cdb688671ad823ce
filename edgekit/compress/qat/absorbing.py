"""Training is over: each ``fake_quantize`` op becomes the ``quant`` of the value that it rounds."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from edgekit.compress.qat.attaching import MOVERS
from edgekit.errors import UsageError
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.learned_step import SMALLEST_STEP
from edgekit.ir.ops.training import FakeQuantize
from edgekit.ir.quantized_data import dequantize, quantize_constant


def absorb(graph: Graph) -> Graph:
    """A copy without ``fake_quantize`` ops that computes the same, bit for bit, in evaluation mode.

    Given::   %w = fake_quantize(@weight, @s)
              %y = conv2d(%x, %w, ...)
    Result::  %y = conv2d(%x, @weight ~ int8(@s), ...)

    A constant's data becomes the numbers that its integers stand for: every later reader sees what was trained, and its
    integers are round(data / scale) of the trained data. One that is rounded in several ways, or read in float too, becomes
    several constants.
    """
    out = copy.deepcopy(graph)
    roundings = [node for node in out.nodes if isinstance(node.op, FakeQuantize)]
    trained = {id(node): computed(node.input(0)).clone() for node in roundings if constant_of(node.input(0)) is not None}
    floats = {id(value) for value in out.constants() if any(_is_float(user) for user in value.users)}
    for node in roundings:
        _absorb_one(out, node, trained.get(id(node)), floats)
    for node in out.nodes:
        x = node.inputs[0] if node.inputs else None
        if isinstance(node.op, MOVERS) and x is not None and not x.is_constant and x.quant is not None:
            for value in node.outputs:
                value.quant = value.quant or x.quant
    out.eliminate_dead()
    read = {id(v) for node in out.nodes for v in node.inputs} | {id(v) for v in out.outputs}
    for name in [name for name, value in out.state.items() if id(value) not in read]:
        del out.state[name]
    return out


def params_of(node: Node) -> QuantParams:
    """The parameters that a ``fake_quantize`` node has come to.

    Raises:
        UsageError: a scale collapsed in the training.
    """
    op = node.op
    assert isinstance(op, FakeQuantize)
    scales = tuple(computed(node.input(1)).float().reshape(-1).tolist())
    if min(scales) <= SMALLEST_STEP:
        raise UsageError(
            f"the training drove the scale of '{node.input(0).name}' to {min(scales):g}",
            where="qat",
            hint="a smaller lr, or clip_norm = 1.0",
        )
    return QuantParams(op.dtype, scales, (op.zero_point,) * len(scales), op.axis, op.narrow)


def computed(value: Value) -> Tensor:
    """The data of a constant, or of what is computed from constants alone."""
    if value.is_constant:
        return value.tensor.detach()
    assert value.producer is not None
    result = value.producer.op.run(*[computed(v) for v in value.producer.inputs if v is not None])
    assert isinstance(result, Tensor)
    return result


def constant_of(value: Value) -> Value | None:
    """The constant that a value is, or is the product of with another; None for an activation."""
    if value.is_constant or value.producer is None or not isinstance(value.producer.op, ops.Mul):
        return value if value.is_constant else None
    first, second = value.producer.input(0), value.producer.input(1)
    return constant_of(first) if second.is_constant else None


def _is_float(node: Node) -> bool:
    """Whether a reader of a constant takes it as it is: it neither rounds it nor is a product of constants."""
    return not isinstance(node.op, FakeQuantize) and not all(v is None or constant_of(v) is not None for v in node.inputs)


def _absorb_one(graph: Graph, node: Node, trained: Tensor | None, floats: set[int]) -> None:
    """``trained``: what a constant is before it is put on the grid. ``floats``: ids of constants that are read in float."""
    value, quant = constant_of(node.input(0)), params_of(node)
    if value is None or trained is None:
        node.input(0).quant = quant
        graph.replace(node.output, node.input(0))
        return
    on_grid = dequantize(quantize_constant(trained, quant), quant)
    if id(value) in floats or (value.quant is not None and value.quant != quant):
        value = graph.constant(on_grid, value.name)
    elif value.quant is None:
        with torch.no_grad():
            value.tensor.copy_(on_grid)
    value.quant = quant
    for reader in list(node.output.users):
        for index, seen in enumerate(reader.inputs):
            if seen is node.output:
                graph.set_input(reader, index, value)
