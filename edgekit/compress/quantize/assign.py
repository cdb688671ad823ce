"""Give every integer value its parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from edgekit.compress.quantize.borders import WEIGHTED, Modes, is_activation
from edgekit.compress.quantize.dynamic_range import recurrent_params
from edgekit.compress.quantize.groups import Groups
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.params import activation_params, bias_params, span, weight_params
from edgekit.compress.quantize.policy import Policy
from edgekit.ir import Graph, Node, QuantParams, Value, ops

#: A channel's scale is at least this share of s_y / s_x: below it, the channel adds less than a thousandth of an output step,
#: and the runtimes' multipliers leave the range that their fast kernels accept.
SMALLEST_MULTIPLIER = 2.0**-20

#: By the type of the weight, the integer that a bias stays below, so that accumulators can't overflow. XNNPACK multiplies by
#: 4-bit weights times 16, and holds the bias times 16 beside them: from 2^27 on its outputs are wrong without a word.
LARGEST_BIAS = {"int8": 2.0**30, "int4": 2.0**26, "int2": 2.0**24}


def assign_activations(graph: Graph, integer: set[int], groups: Groups, ranges: dict[int, tuple[float, float]]) -> None:
    """Sets ``quant`` on every integer activation: what its group must have, else the parameters of its group's range.

    ``ranges`` holds (low, high) by ``id(group)``.
    """
    for value in graph.values():
        if id(value) in integer and is_activation(value):
            group = groups.of(value)
            value.quant = group.fixed or activation_params(*ranges[id(group)], group.type)


def assign_constants(
    graph: Graph,
    modes: Modes,
    policy: Policy,
    layers: Layers | None = None,
    least_scales: Mapping[str, torch.Tensor] | None = None,
    shared: Collection[str] = (),
    shares: Mapping[str, float] | None = None,
) -> None:
    """Sets ``quant`` on weights, biases and other constants of integer nodes. A constant needed in two ways is copied.

    ``layers`` says which integers weights become; int8 by default. ``least_scales``: by the name of a weight, the
    smallest scale for each of its rows. By the name of a layer's output: ``shared``, linear layers whose channels have one
    scale; ``shares``, which share of the largest weight such a scale reaches to.
    """
    layers, least = layers or Layers(graph), least_scales or {}
    for node in graph.nodes:
        if id(node) not in modes.nodes:
            continue
        if isinstance(node.op, WEIGHTED):
            axis = channel_axis(node, policy, shared)
            share = 1.0 if axis is not None else (shares or {}).get(node.name, 1.0)
            _assign_weighted(graph, node, axis, layers.of(node).weights, least.get(node.input(1).name), share)
        elif isinstance(node.op, ops.Lstm):
            for index in (3, 4):
                _set(graph, node, index, recurrent_params(node, node.input(index), least=least.get(node.input(index).name)))
        elif isinstance(node.op, ops.Prelu):
            _set(graph, node, 1, weight_params(node.input(1).tensor, None))
        elif isinstance(node.op, ops.Gather) and node.input(0).is_constant:
            assert node.output.quant is not None
            _set(graph, node, 0, node.output.quant)
        else:
            for index, value in enumerate(node.inputs):
                if value is not None and value.is_constant and value.type.is_float:
                    same = isinstance(node.op, ops.ChooseExit | ops.Concat | ops.Maximum | ops.Minimum)
                    quant = node.output.quant if same else activation_params(*span(value.tensor), modes.computes_in(node))
                    assert quant is not None
                    _set(graph, node, index, quant)


def channel_axis(node: Node, policy: Policy, shared: Collection[str] = ()) -> int | None:
    """The axis of a layer's weight along which it has a scale for each output channel; None: one scale for all."""
    if isinstance(node.op, ops.Linear):
        return 0 if policy.per_channel_linear and node.name not in shared else None
    if isinstance(node.op, ops.ConvTranspose1d | ops.ConvTranspose2d):
        return 1 if policy.per_channel and node.op.groups == 1 else None
    return 0 if policy.per_channel else None


def _assign_weighted(graph: Graph, node: Node, axis: int | None, dtype: str, least: torch.Tensor | None, share: float) -> None:
    x, weight, bias = node.input(0), node.input(1), node.optional(2)
    assert x.quant is not None and node.output.quant is not None
    floor: torch.Tensor = torch.tensor(
        [SMALLEST_MULTIPLIER * node.output.quant.scale[0] / x.quant.scale[0]], dtype=torch.float64
    )
    if bias is not None:
        needed = bias.tensor.detach().abs().double() / (LARGEST_BIAS[dtype] * x.quant.scale[0])
        floor = torch.maximum(floor, needed if axis is not None else needed.max())
    if least is not None and axis is not None:
        floor = torch.maximum(floor, least.double())
    _set(graph, node, 1, weight_params(weight.tensor, axis, floor if axis is not None else floor.max(), dtype, share))
    if bias is not None:
        quant = node.input(1).quant
        assert quant is not None
        _set(graph, node, 2, bias_params(x.quant, quant))


def _set(graph: Graph, node: Node, index: int, quant: QuantParams) -> Value:
    """Gives a constant input its parameters, copying it first if another node needs it with others (or in float)."""
    value = node.input(index)
    others = [user for user in value.users if user is not node]
    if (value.quant is not None and value.quant != quant) or (value.quant is None and others):
        value = graph.constant(value.tensor.detach(), value.name)
        graph.set_input(node, index, value)
    value.quant = quant
    return value
