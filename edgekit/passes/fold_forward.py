"""Fold a product or sum per channel into the layers that read it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import PassRecord, Rewrite, Skip, require_unquantized
from edgekit.passes.channel_paths import moved
from edgekit.passes.constants import require_private, rewrite_constant, set_bias
from edgekit.passes.fold_affine import per_channel

_READERS = (ops.Linear, ops.Conv1d, ops.Conv2d)


@dataclass(frozen=True)
class FoldNormAffine(Rewrite):
    """Fold weight and bias of a layer norm into the linear layers that read it.

    Given::   %n = layer_norm(%x, @g, @b)
              %y = linear(%n, @w, @c)
    Result::  %n = layer_norm(%x)
              %y = linear(%n, @w * g, @c + @w b)

    For runtimes without an operator for the norm, where its weight and bias are operators of their own.
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.LayerNorm | ops.RmsNorm) and len([v for v in node.inputs[1:] if v is not None]) > 0

    def rewrite(self, graph: Graph, node: Node) -> None:
        assert isinstance(node.op, ops.LayerNorm | ops.RmsNorm)
        if node.op.axes != 1:
            raise Skip(f"it normalises over {node.op.axes} dimensions")
        axis = node.output.type.rank - 1
        channels = node.output.tensor_shape[axis]
        scale, offset = torch.ones(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
        for index, into in ((1, scale), (2, offset)):
            value = node.optional(index) if index < len(node.inputs) else None
            if value is not None:
                if not value.is_constant:
                    raise Skip(f"%{value.name} is computed, not constant")
                require_unquantized(value)
                into.copy_(value.tensor.detach())
        absorb(graph, readers_of(graph, node.output, axis), scale, offset)
        graph.replace(node.output, graph.add(node.op, node.input(0), where=node.where, before=node))


@dataclass(frozen=True)
class FoldForward(Rewrite):
    """Fold ``mul``, ``div``, ``add`` and ``sub`` with a per-channel constant into the layers that read the result.

    Given::   %m = mul(%x, @s)
              %y = linear(%m, @w)
    Result::  %y = linear(%x, @w * s)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Mul | ops.Div | ops.Add | ops.Sub) and node.input(1).is_constant

    def rewrite(self, graph: Graph, node: Node) -> None:
        x, constant = node.input(0), node.input(1)
        require_unquantized(x, constant, node.output)
        if x.producer is None:
            raise Skip("it prepares an input of the model")
        if node.output.type != x.type or getattr(node.op, "activation", "none") != "none":
            raise Skip("not a plain product or sum")
        for axis in range(x.type.rank):
            if not isinstance(x.shape[axis], int):
                continue
            factor = per_channel(constant, x.type.rank, axis, x.tensor_shape[axis])
            if factor is None or x.tensor_shape[axis] == 1:
                continue
            readers = readers_of(graph, node.output, axis)
            one, zero = torch.ones_like(factor), torch.zeros_like(factor)
            if isinstance(node.op, ops.Mul | ops.Div):
                absorb(graph, readers, factor if isinstance(node.op, ops.Mul) else 1.0 / factor, zero)
            else:
                absorb(graph, readers, one, factor if isinstance(node.op, ops.Add) else -factor)
            graph.replace(node.output, x)
            return
        raise Skip(f"@{constant.name} is not one number per channel")

    def apply(self, graph: Graph) -> PassRecord:
        """From the end, so that a sum makes way for the product before it. To have no such reader is no news."""
        rewrites = 0
        for node in reversed(list(graph.nodes)):
            if self.match(graph, node):
                try:
                    self.rewrite(graph, node)
                except Skip:
                    continue
                graph.remove(node)
                rewrites += 1
        return PassRecord(self.name, rewrites)


def readers_of(graph: Graph, value: Value, axis: int) -> list[Node]:
    """The layers that read the channels on ``axis`` of a value, some of them after it was moved.

    Raises:
        Skip: something else reads it, or a layer's weights can't be changed.
    """
    if graph.is_output(value):
        raise Skip(f"%{value.name} is an output")
    require_unquantized(value)
    found: list[Node] = []
    for node in value.users:
        if isinstance(node.op, _READERS) and node.input(0) is value:
            found.append(_changeable(graph, node, axis))
            continue
        means = isinstance(node.op, ops.Mean) and axis not in node.op.axes
        place = _after_mean(node, axis) if means else moved(node, 0, axis) if len(node.inputs) == 1 else None
        if place is None:
            raise Skip(f"'{node.op.name}' reads %{value.name}")
        for output in node.outputs:
            found += readers_of(graph, output, place)
    return found


def _after_mean(node: Node, axis: int) -> int:
    assert isinstance(node.op, ops.Mean)
    return axis if node.op.keepdim else axis - sum(a < axis for a in node.op.axes)


def _changeable(graph: Graph, node: Node, axis: int) -> Node:
    if axis != (node.input(0).type.rank - 1 if isinstance(node.op, ops.Linear) else 1):
        raise Skip(f"'{node.op.name}' reads other channels")
    if isinstance(node.op, ops.Conv1d | ops.Conv2d) and (node.op.groups != 1 or any(any(pair) for pair in node.op.padding)):
        raise Skip("a convolution with padding or groups reads it")
    require_private(graph, node.input(1), node)
    if (bias := node.optional(2)) is not None:
        require_private(graph, bias, node)
    return node


def absorb(graph: Graph, readers: list[Node], scale: torch.Tensor, offset: torch.Tensor) -> None:
    """Changes layers so that they compute of x what they computed of ``scale * x + offset`` (per channel, float64).

    Raises:
        Skip: nobody reads it, or a float can't hold the result.
    """
    if not readers:
        raise Skip("no layer reads it")
    changes = []
    for node in dict.fromkeys(readers):
        weight, bias = node.input(1), node.optional(2)
        old = weight.tensor.detach().double()
        rest = [1] * (old.dim() - 2)
        moved_bias = (old * offset.reshape(1, -1, *rest)).flatten(1).sum(1)
        new = old * scale.reshape(1, -1, *rest)
        total = moved_bias if bias is None else bias.tensor.detach().double() + moved_bias
        if not all(bool(torch.isfinite(t.to(weight.tensor.dtype)).all()) for t in (new, total)):
            raise Skip("the product is too large for the weight's type, or not a number")
        changes.append((node, new, total))
    for node, new, total in changes:
        rewrite_constant(node.input(1), new)
        if bool(offset.any()):
            set_bias(graph, node, total)
