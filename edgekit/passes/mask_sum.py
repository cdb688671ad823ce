"""Constant masks before a softmax as sums: runtimes have fast kernels for sums and none for choices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Rewrite, Skip, require_unquantized

#: From here down a number beside scores leaves nothing of them behind a softmax in float32.
_LOWEST = -1e9


@dataclass(frozen=True)
class MaskToSum(Rewrite):
    """Write the choice between scores and a number that blocks them as one sum with a constant.

    x + (-inf) is -inf for every finite x, and x + 0 is x. A finite number (-1e9, the least of float32) blocks as well where a
    softmax alone reads the scores and no row is blocked as a whole: exp of it is 0 in float32, with x added or without.

    Given::   %s = add(%x, @c)
              %m = where(@mask, @low, %s)
              %y = softmax(%m)
    Result::  %m = add(%x, where(@mask, @low, @c))
              %y = softmax(%m)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Where) and node.input(0).is_constant and _blocks(graph, node) is not None

    def rewrite(self, graph: Graph, node: Node) -> None:
        found = _blocks(graph, node)
        assert found is not None
        scores, blocked, low = found
        if scores.is_constant or scores.shape != node.output.shape or scores.type.dtype != torch.float32:
            raise Skip("the mask repeats the scores")
        require_unquantized(node.output, scores)
        _need_softmax(graph, node.output, blocked, low)
        x, given = scores, torch.zeros(())
        addend = _addend(graph, scores)
        if addend is not None:
            constant = addend[1].tensor.detach()
            together = torch.where(blocked, torch.tensor(low), constant)
            if together.numel() <= max(constant.numel(), blocked.numel()):
                x, given = addend[0], constant
        mask = graph.constant(torch.where(blocked, torch.tensor(low), given), f"{node.name}.mask")
        graph.replace(node.output, graph.add(ops.Add(), x, mask, where=node.where, before=node))


def _blocks(graph: Graph, node: Node) -> tuple[Value, torch.Tensor, float] | None:
    """The scores, where they are blocked, and by which number; None where it is another choice."""
    condition, first, second = node.input(0).tensor, node.input(1), node.input(2)
    for low, scores, blocked in ((first, second, condition), (second, first, ~condition)):
        if low.is_constant and not low.is_trainable and low.type.numel() == 1 and float(low.tensor) <= _LOWEST:
            return scores, blocked, float(low.tensor)
    return None


def _need_softmax(graph: Graph, value: Value, blocked: torch.Tensor, low: float) -> None:
    """Skip where something sees the difference between a number that blocks and another one that does."""
    softmax = [user for user in value.users if isinstance(user.op, ops.Softmax | ops.LogSoftmax)]
    if graph.is_output(value) or len(softmax) != len(value.users):
        raise Skip("something else than a softmax reads the masked scores")
    if low == -math.inf:
        return
    shape = (*(1,) * (value.type.rank - blocked.dim()), *blocked.shape)
    for user in softmax:
        if not isinstance(user.op, ops.Softmax) or bool(blocked.reshape(shape).all(dim=user.op.axis).any()):
            raise Skip(f"{low:g} is not -inf, and shows where a whole row is blocked")


def _addend(graph: Graph, scores: Value) -> tuple[Value, Value] | None:
    """What a sum with a constant is made of, if nothing else reads it."""
    node = scores.producer
    if node is None or not isinstance(node.op, ops.Add) or node.op.activation != "none" or graph.readers(scores) > 1:
        return None
    for x, constant in ((node.input(0), node.input(1)), (node.input(1), node.input(0))):
        if constant.is_constant and not constant.is_trainable and constant.quant is None and x.shape == scores.shape:
            return x, constant
    return None
