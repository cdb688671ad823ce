"""A float graph becomes one that trains binary layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgekit.compress.binarize.step import Binarize
from edgekit.compress.binarize.surroundings import ACTIVATIONS, POOLS, before, is_input, is_not_negative
from edgekit.ir import Graph, Node, Value, ops

#: Slope of ReActNet's activations for negative inputs, to begin with (the default of PReLU).
_SLOPE = 0.25

#: Between a layer and the activation behind it.
_PASSED = (ops.BatchNorm, ops.Add, ops.Sub, ops.MaxPool1d, ops.MaxPool2d, ops.Identity, ops.Dropout)


class Attachment:
    """Writes the binary layers of one graph, in place.

    Attributes:
        latents: names of the weights that are latent now.
        norms: names of the scales of norms that must not become negative, because a pool stands before the norm: the largest
            of a window is then the largest of the signs too, and no export needs more than the signs.
    """

    def __init__(self, graph: Graph, step: Binarize, layers: Sequence[Node]) -> None:
        self.graph, self.step = graph, step
        self.latents: list[str] = []
        self.norms: list[str] = []
        if step.method == "react_net":
            self._shifted_activations(layers)
        for layer in layers:
            if step.signs_activations:
                self._binary_input(layer)
            self._binary_weight(layer)
        graph.eliminate_dead()
        graph.sort()

    def _binary_weight(self, layer: Node) -> None:
        """Given %y = conv2d(%x, @w); result %w = binary_weight(@w), %y = conv2d(%x, %w)."""
        latent = layer.input(1)
        op = ops.BinaryWeight(self.step.has_scales, self.step.stochastic)
        made = self.graph.add(op, latent, name=f"{latent.name}.binary", where=layer.where, before=layer)
        self.graph.set_input(layer, 1, made)
        self.latents.append(latent.name)

    # ------------------------------------------------------------------ activations

    def _binary_input(self, layer: Node) -> None:
        """What the layer reads becomes signs; the model's own input does not (BNN, arXiv:1602.02830, section 1.5)."""
        graph, step = self.graph, self.step
        if is_input(layer.input(0)):
            return
        if step.method == "react_net":
            x = self._learned(ops.Sub(), layer.input(0), f"{_module(layer)}.sign_threshold", 0.0, layer)
            graph.set_input(layer, 0, self._sign(x, layer))
            return
        found = before(graph, layer, norms=step.method == "xnor_net")
        value, place = found.base, 0
        if step.method == "xnor_net":
            pools = [index + 1 for index, node in enumerate(found.movers) if isinstance(node.op, POOLS)]
            place = max([*pools, found.norm[1] if found.norm else 0])
        for node in found.movers[:place]:
            value = self._again(node, value, layer)
        if step.method == "xnor_net":
            pooled = value.producer is not None and isinstance(value.producer.op, POOLS)
            value = self._norm(value, layer, found.norm[0] if found.norm else None, pooled)
        elif is_not_negative(value):
            value = self._norm(value, layer, None, False)
        value = self._sign(value, layer)
        for node in found.movers[place:]:
            value = self._again(node, value, layer)
        graph.set_input(layer, 0, value)

    def _sign(self, value: Value, layer: Node) -> Value:
        op = ops.BinarySign(self.step.sign_gradient)
        return self.graph.add(op, value, name=f"{layer.name}.sign", where=layer.where, before=layer)

    def _again(self, node: Node, value: Value, layer: Node) -> Value:
        """An op once more, before the layer, on another value; the first one may have other readers."""
        return self.graph.add(node.op, value, *node.inputs[1:], name=node.name, where=node.where, before=layer)

    def _norm(self, value: Value, layer: Node, old: Node | None, pooled: bool) -> Value:
        """A batch norm: one that stood somewhere before, or a new one."""
        if old is not None and old.input(3).tensor.numel() == value.tensor_shape[1]:
            op, parts = old.op, old.inputs[1:]
        else:
            op, parts = ops.BatchNorm(), self._fresh_norm(f"{_module(layer)}.sign_norm", value)
        scale = parts[0]
        if pooled and scale is not None and scale.is_trainable:
            self.norms.append(scale.name)
        return self.graph.add(op, value, *parts, name=f"{layer.name}.norm", where=layer.where, before=layer)

    def _fresh_norm(self, name: str, value: Value) -> tuple[Value, ...]:
        channels, dtype = value.tensor_shape[1], value.type.dtype
        scale, zeros = torch.ones(channels, dtype=dtype), torch.zeros(channels, dtype=dtype)
        state = self.graph.add_state
        return (
            state(f"{name}.weight", nn.Parameter(scale)),
            state(f"{name}.bias", nn.Parameter(zeros)),
            state(f"{name}.running_mean", zeros.clone()),
            state(f"{name}.running_var", scale.clone()),
        )

    # ------------------------------------------------------------------ ReActNet

    def _shifted_activations(self, layers: Sequence[Node]) -> None:
        """Activations behind binary layers, and right before them, become RPReLU (arXiv:2003.03488, eq. 4)::

        %y = relu(%x)  ->  %s = sub(%x, @gamma); %p = prelu(%s, @beta); %y = add(%p, @zeta)
        """
        graph = self.graph
        found: dict[int, tuple[Node, str]] = {}
        for layer in layers:
            if (node := before(graph, layer, norms=False).activation) is not None:
                found[id(node)] = (node, f"{_module(layer)}.activation_before")
        reached = {id(layer.output): layer for layer in layers}
        for node in graph.nodes:
            source = next((reached[id(v)] for v in node.inputs if v is not None and id(v) in reached), None)
            if source is not None and isinstance(node.op, _PASSED):
                reached[id(node.output)] = source
            elif source is not None and isinstance(node.op, ACTIVATIONS):
                found[id(node)] = (node, f"{_module(source)}.activation")
        for node, name in found.values():
            x = self._learned(ops.Sub(), node.input(0), f"{name}.shift_in", 0.0, node)
            slopes = nn.Parameter(torch.full((x.tensor_shape[1],), _SLOPE, dtype=x.type.dtype))
            slope = graph.add_state(_free_name(graph, f"{name}.slope"), slopes)
            x = graph.add(ops.Prelu(), x, slope, name=f"{node.name}.prelu", where=node.where, before=node)
            graph.replace(node.output, self._learned(ops.Add(), x, f"{name}.shift_out", 0.0, node))
            graph.remove(node)

    def _learned(self, op: ops.Op, value: Value, name: str, start: float, before: Node) -> Value:
        """An op with one learned number for each channel (axis 1)."""
        shape = (value.tensor_shape[1], *[1] * (value.type.rank - 2))
        numbers = nn.Parameter(torch.full(shape, start, dtype=value.type.dtype))
        state = self.graph.add_state(_free_name(self.graph, name), numbers)
        return self.graph.add(op, value, state, name=name, where=before.where, before=before)


def _free_name(graph: Graph, wish: str) -> str:
    """A name that no state has yet."""
    name, count = wish, 0
    while name in graph.state:
        count += 1
        name = f"{wish}_{count}"
    return name


def _module(layer: Node) -> str:
    """The module of a layer, by its weight's name."""
    weight = layer.input(1)
    name = weight.name if weight.is_constant or weight.producer is None else weight.producer.input(0).name
    return name.removesuffix(".weight")
