"""A convolution of single pixels, or of single steps of a sequence, as a linear layer over their channels.

The two are one function. LiteRT's XNNPACK takes 4-bit weights of a fully connected operator and none of a convolution, which
then runs on plain loops or on kernels that unpack the weights in every call. Channels-last files have the channels last
already, so the permutations around the layer cost nothing where its neighbours are channels-last too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgekit.ir import Graph, Node, ops
from edgekit.ir.graph import named_state


def is_pointwise(node: Node) -> bool:
    """A convolution whose every output pixel, or step, reads one of the input, at the same place."""
    op = node.op
    if not isinstance(op, ops.Conv1d | ops.Conv2d) or op.groups != 1 or not node.input(1).is_constant:
        return False
    return set(op.stride) == set(node.input(1).tensor_shape[2:]) == {1} and set(op.padding) == {(0, 0)}


def linear_for_pointwise(graph: Graph, wanted: Callable[[Node], bool] = lambda node: True) -> tuple[Graph, tuple[str, ...]]:
    """A copy with linear layers for the pointwise convolutions that are ``wanted``, and the names of their weights.

    Given::   %y = conv2d(%x, @w, @b)                       # w: (O, I, 1, 1)
    Result::  %y = permute(linear(permute(%x, (0, 2, 3, 1)), @w, @b), (0, 3, 1, 2))      # w: (O, I)

    Along a sequence likewise, by (0, 2, 1). A weight that other layers read too is left as it is.
    """
    out = graph.copy()
    labels = named_state(out)
    changed = []
    for node in list(out.nodes):
        if not is_pointwise(node) or not wanted(node) or len(node.input(1).users) > 1:
            continue
        weight = node.input(1)
        label = labels.get(id(weight), weight.name)
        matrix = out.constant(weight.tensor.detach().flatten(1).contiguous(), weight.name)
        if label in out.state:
            matrix.data = torch.nn.Parameter(matrix.tensor) if weight.is_trainable else matrix.data
            out.state[label] = matrix
        places = range(2, node.output.type.rank)
        last = out.add(ops.Permute((0, *places, 1)), node.input(0), before=node, where=node.where)
        product = out.add(ops.Linear(node.op.activation), last, matrix, node.optional(2), before=node, where=node.where)  # type: ignore[attr-defined]
        made = out.add(ops.Permute((0, places.stop - 1, *range(1, places.stop - 1))), product, before=node, where=node.where)
        out.replace(node.output, made)
        changed.append(label)
    out.eliminate_dead()
    return out, tuple(changed)
