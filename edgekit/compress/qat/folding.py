"""The trained batch norms fold into their layers for good, steps and all."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edgekit.compress.qat.floors import smallest_steps
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.ops.training import FakeQuantize
from edgekit.passes.fuse_activation import activation_name, with_activation


def fold(graph: Graph) -> Graph:
    """A copy in which no batch norm is left behind a layer with a rounded weight.

    Given::   %w = fake_quantize(@weight, @s)
              %n = conv2d(%x, %w)
              %m = batch_norm(%n, abs(@gamma), @beta, @mean, @var, eps)
              %y = relu(%m)
    Result::  %w = fake_quantize(@weight * c, max(@s * c, floor))     # c = |gamma| / sqrt(var + eps), running, constant
              %b = fake_quantize(@beta - @mean * c, @s_x * max(@s * c, floor))
              %y = conv2d(%x, %w, %b, activation="relu")

    What is trained further is the weight before the product: folded ones of channels with a small c would move by many times
    their own size. Only the bias is one number from here on. The floor is what integer kernels take.
    """
    out = copy.deepcopy(graph)
    for node in list(out.nodes):
        if isinstance(node.op, ops.BatchNorm):
            _fold_one(out, node)
    out.eliminate_dead()
    read = {id(v) for node in out.nodes for v in node.inputs} | {id(v) for v in out.outputs}
    for name in [name for name, value in out.state.items() if id(value) not in read]:
        del out.state[name]
        out.transient.discard(name)
    return out


def _fold_one(graph: Graph, norm: Node) -> None:
    layer = norm.input(0).producer
    rounding = None if layer is None else layer.input(1).producer
    assert layer is not None and rounding is not None and isinstance(rounding.op, FakeQuantize)
    assert isinstance(norm.op, ops.BatchNorm) and rounding.op.axis is not None
    gain = torch.rsqrt(norm.input(4).tensor.detach().double() + norm.op.eps)
    if (scale := norm.optional(1)) is not None:
        gain = gain * _data(scale).double()
    offset = -norm.input(3).tensor.detach().double() * gain
    if (beta := norm.optional(2)) is not None:
        offset = offset + beta.tensor.detach().double()
    bias = layer.optional(2)
    if bias is not None:
        offset = offset + bias.tensor.detach().double() * gain

    result, activation = _activation_after(norm)
    source, target = _scale_of(layer.input(0)), _scale_of(_rounded_of(result))
    weight, step = rounding.input(0), rounding.input(1)
    shape = [1] * weight.type.rank
    shape[rounding.op.axis] = -1
    floor = smallest_steps(offset, _number(source), _number(target), rounding.op.dtype).float()

    def add(op: ops.Op, first: Value, data: Tensor, suffix: str) -> Value:
        constant = graph.constant(data.contiguous(), f"{weight.name}.{suffix}.by")
        return graph.add(op, first, constant, name=f"{weight.name}.{suffix}", before=rounding)

    graph.set_input(rounding, 0, add(ops.Mul(), weight, gain.float().reshape(shape), "folded"))
    step = add(ops.Mul(), step, gain.float(), "step")
    step = add(ops.Maximum(), step, floor.expand(step.tensor_shape), "step.kept")
    graph.set_input(rounding, 1, step)

    if bias is not None:
        _write(bias, offset)
    else:
        prefix = weight.name.rpartition(".")[0]
        name = f"{prefix}.bias" if prefix else f"{weight.name}_bias"
        data = offset.to(weight.tensor.dtype)
        graph._names.discard(name)
        bias = graph.add_state(name, nn.Parameter(data)) if weight.is_trainable else graph.constant(data, name)
        if layer.optional(2) is None:
            graph.extend_input(layer, bias)
    product = graph.add(ops.Mul(), source, step, name=f"{bias.name}.scale", before=layer)
    op = FakeQuantize("int32", axis=0, gradient_scale=0.0)
    graph.set_input(layer, 2, graph.add(op, bias, product, name=f"{bias.name}.rounded", before=layer, types=[bias.type]))
    graph.set_op(layer, with_activation(layer.op, activation))
    graph.replace(result, layer.output)


def _data(value: Value) -> Tensor:
    """The data of a constant, or the magnitude that an ``abs`` op makes of one."""
    if value.is_constant:
        return value.tensor.detach()
    assert value.producer is not None and isinstance(value.producer.op, ops.Abs)
    return value.producer.input(0).tensor.detach().abs()


def _activation_after(norm: Node) -> tuple[Value, str]:
    """What comes out of a norm and the activation behind it, and its fused name."""
    if len(norm.output.users) == 1 and (name := activation_name(norm.output.users[0])) is not None:
        return norm.output.users[0].output, name
    return norm.output, "none"


def _rounded_of(value: Value) -> Value:
    """What the op behind a value rounds it to."""
    return next(node.output for node in value.users if isinstance(node.op, FakeQuantize))


def _scale_of(value: Value) -> Value:
    """The scale of a rounded value, or of what was only moved since it was rounded."""
    node = value.producer
    while node is not None and not isinstance(node.op, FakeQuantize):
        node = node.input(0).producer
    assert node is not None
    return node.input(1)


def _number(scale: Value) -> float:
    return float(scale.tensor.detach().reshape(-1)[0])


def _write(value: Value, data: Tensor) -> None:
    """New numbers in a tensor that the graph owns."""
    with torch.no_grad():
        value.tensor.copy_(data)
