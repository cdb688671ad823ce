"""Batch norms out of the weights that they were folded into, so that they train, and back into them.

A weight is rounded per output channel, and a batch norm scales output channels. The two commute: for c > 0 ::

    c * (s * clamp(round(w / s))) = (c s) * clamp(round(c w / (c s)))

so a norm behind a convolution with rounded weights is a convolution with rounded *folded* weights whose steps are folded too:
the integers are the same, whatever the statistics do. While the norms still learn, each stands behind its layer as it did in
the source: batch statistics act, see the rounding of the weights, and no correction by sigma_running / sigma_batch is needed
(arXiv:1806.08342, section 3.2.2, which rounds folded weights with steps that do not follow the fold, needs one). Then they
are folded for good, with their running statistics, and the rest of the training runs on exactly what is exported.

The sign of a norm's scale goes into the weights once, at the start, and the scale acts by its magnitude from then on: c stays
positive, which the commutation needs where a grid is not symmetric (int2 has -2 and no 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.compress.qat.attaching import SMALLEST_SHARE
from edgekit.compress.qat.initial import initial_steps
from edgekit.compress.qat.norms import Norm
from edgekit.ir import Graph, Node, Value, ops

_ACTIVATIONS: dict[str, ops.Op] = {"relu": ops.Relu(), "relu6": ops.Relu6(), "relu_n1_to_1": ops.Clamp(-1.0, 1.0)}


def unfold(graph: Graph, norms: Mapping[str, Norm], start: str) -> dict[str, str]:
    """Takes norms out of the layers of a graph with ``fake_quantize`` ops, in place.

    Given::   %w = fake_quantize(@weight * c, @s * c)
              %y = conv2d(%x, %w, @b, activation="relu")
    Result::  %w = fake_quantize(@weight, @s)
              %n = conv2d(%x, %w)
              %m = batch_norm(%n, abs(@gamma), @beta, @mean, @var, eps)
              %y = relu(%m)

    Args:
        graph: changed in place; tensors that are written anew are not those of the source.
        norms: what was folded, by the name of the layer's weight.
        start: how a step starts where the norm's scale is zero and tells nothing.

    Returns:
        Why other norms stay as they are, by the weight's name.
    """
    left: dict[str, str] = {}
    done: set[str] = set()
    uses = Counter(name for norm in norms.values() for name in norm.names)
    for node in list(graph.nodes):
        rounding = node.inputs[1].producer if len(node.inputs) > 1 and node.inputs[1] is not None else None
        if rounding is None or not isinstance(rounding.op, ops.FakeQuantize) or not rounding.input(0).is_constant:
            continue
        name = rounding.input(0).name
        norm = norms.get(name)
        if norm is None:
            continue
        shared = any(uses[part] > 1 for part in norm.names)
        reason = "two layers share the batch norm: it stays folded" if shared else _stays(node, rounding, norm)
        if reason:
            left[name] = reason
        else:
            _unfold_one(graph, node, rounding, norm, start)
            done.add(name)
    graph.eliminate_dead()
    missed = sorted(norms.keys() - left.keys() - done)
    return left | dict.fromkeys(missed, "its layer is not in integers: the norm stays folded")


def _stays(node: Node, rounding: Node, norm: Norm) -> str | None:
    assert isinstance(rounding.op, ops.FakeQuantize)
    if norm.op.frozen:
        return "the batch norm is frozen in the source: it stays folded"
    if rounding.op.axis is None:
        return "its weight has one step for all channels, which does not commute with a batch norm: the norm stays folded"
    bias = _constant_behind(node.optional(2))
    same = bias is not None and torch.equal(rounding.input(0).tensor, norm.folded[0]) and torch.equal(bias, norm.folded[1])
    return None if same else "later passes changed the folded weight: the norm stays folded"


def _constant_behind(value: Value | None) -> Tensor | None:
    """The data of a constant, or of the one that a ``fake_quantize`` rounds."""
    if value is None or value.is_constant:
        return None if value is None else value.data
    return value.producer.input(0).data if value.producer and isinstance(value.producer.op, ops.FakeQuantize) else None


def _unfold_one(graph: Graph, node: Node, rounding: Node, norm: Norm, start: str) -> None:
    op = rounding.op
    assert isinstance(op, ops.FakeQuantize) and op.axis is not None
    weight, (step, floor) = rounding.input(0), _step_and_floor(rounding)
    gain = norm.gain
    sign = torch.where(gain < 0, -1.0, 1.0)
    raw = norm.weight.detach() * _along(sign, op.axis, norm.weight.dim())
    gain = gain.abs()
    own = initial_steps(raw, op.axis, op.least, op.most, start)
    steps = torch.where(gain > 0, step.tensor.detach().double() / gain.clamp(min=1e-30), own.double())
    weight.data = _like(norm.weight, raw)
    step.data = _like(step.tensor, torch.where(torch.isfinite(steps.float()), steps, own.double()))
    if floor is not None:
        floor.data = step.data.detach() / SMALLEST_SHARE

    folded_bias = node.optional(2)
    if folded_bias is not None:
        graph.set_input(node, 2, None)
        for name in [name for name, value in graph.state.items() if value is _root(folded_bias)]:
            del graph.state[name]
    if norm.bias is not None:
        name, bias = norm.bias
        graph.set_input(node, 2, _state(graph, name, _like(bias, bias.detach() * sign)))
    parts: list[Value | None] = []
    for part, factor in ((norm.scale, sign), (norm.offset, None), (norm.mean, sign), (norm.var, None)):
        data = None if part is None else part[1].detach().clone() if factor is None else part[1].detach() * factor
        parts.append(None if part is None or data is None else _state(graph, part[0], _like(part[1], data)))
    if norm.batches is not None:
        parts.append(_state(graph, norm.batches[0], norm.batches[1].clone()))
    scale, activation = parts[0], str(node.op.activation)  # type: ignore[attr-defined]
    graph.set_op(node, node.op.with_(activation="none"))
    after = _after(graph, node)
    if scale is not None:
        parts[0] = graph.add(ops.Abs(), scale, name=f"{scale.name}.magnitude", where=node.where, before=after)
    readers = list(node.output.users)
    result = graph.add(norm.op, node.output, *parts, name=f"{node.name}.norm", where=node.where, before=after)
    if activation != "none":
        result = graph.add(_ACTIVATIONS[activation], result, name=f"{node.name}.active", where=node.where, before=after)
    for reader in readers:
        for index, value in enumerate(reader.inputs):
            if value is node.output:
                graph.set_input(reader, index, result)
    graph.outputs = [result if value is node.output else value for value in graph.outputs]
    node.output.name, result.name = result.name, node.output.name


def _step_and_floor(rounding: Node) -> tuple[Value, Value | None]:
    """The step of a weight, and the constant that it is kept above."""
    scale = rounding.input(1)
    if scale.producer is None:
        return scale, None
    return scale.producer.input(0), scale.producer.input(1)


def _root(value: Value) -> Value:
    """The constant that a ``fake_quantize`` rounds, else the value itself."""
    producer = value.producer
    return producer.input(0) if producer is not None and isinstance(producer.op, ops.FakeQuantize) else value


def _along(numbers: Tensor, axis: int, rank: int) -> Tensor:
    shape = [1] * rank
    shape[axis] = -1
    return numbers.reshape(shape)


def _like(old: Tensor, data: Tensor) -> Tensor:
    data = data.to(old.dtype).contiguous()
    return nn.Parameter(data, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else data


def _state(graph: Graph, name: str, data: Tensor) -> Value:
    """A parameter or buffer that gets its name in the source back."""
    if name in graph.state:
        return graph.state[name]
    graph._names.discard(name)
    return graph.add_state(name, data)


def _after(graph: Graph, node: Node) -> Node | None:
    index = graph.nodes.index(node) + 1
    return graph.nodes[index] if index < len(graph.nodes) else None
