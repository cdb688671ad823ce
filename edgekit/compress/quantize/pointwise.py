"""A convolution of single pixels, or of single steps of a sequence, as a linear layer over their channels.

The two are one function. LiteRT's XNNPACK takes 4-bit weights of a fully connected operator and none of a convolution, which
then runs on plain loops or on kernels that unpack the weights in every call. Channels-last files have the channels last
already, so the permutations around the layer cost nothing where its neighbours are channels-last too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgekit.ir import Graph, Node, Value, ops
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

    Along a sequence likewise, by (0, 2, 1). Two layers in a row have no permutations between them. The source's own beside
    them stay: whether an input or output is an image or a signal is seen in what stands there. A weight that other layers
    read too is left as it is.
    """
    out = graph.copy()
    labels = named_state(out)
    changed, between = [], dict[int, Value]()
    for node in list(out.nodes):
        if not is_pointwise(node) or not wanted(node) or len(node.input(1).users) > 1:
            continue
        weight = node.input(1)
        label = labels.get(id(weight), weight.name)
        matrix = out.constant(weight.tensor.detach().flatten(1).contiguous(), weight.name)
        if label in out.state:
            matrix.data = torch.nn.Parameter(matrix.tensor) if weight.is_trainable else matrix.data
            out.state[label] = matrix
        rank = node.output.type.rank
        enter, leave = ops.Permute((0, *range(2, rank), 1)), ops.Permute((0, rank - 1, *range(1, rank - 1)))
        x = node.input(0)
        before = between.get(id(x))  # two in a row
        x = out.add(enter, x, before=node, where=node.where) if before is None else before
        product = out.add(ops.Linear(node.op.activation), x, matrix, node.optional(2), before=node, where=node.where)  # type: ignore[attr-defined]
        made = out.add(leave, product, before=node, where=node.where)
        out.replace(node.output, made)
        between[id(made)] = product
        if not out.is_output(made):  # reports know the layer by its name
            made.name, product.name = product.name, made.name
        changed.append(label)
    out.eliminate_dead()
    return out, tuple(changed)
