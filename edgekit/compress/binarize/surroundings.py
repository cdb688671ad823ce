"""What stands before a layer: activations that a sign replaces, norms and pools that it may change places with."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, Value, ops

#: What a sign takes the place of.
ACTIVATIONS = (
    *(ops.Relu, ops.Relu6, ops.Clamp, ops.LeakyRelu, ops.Prelu, ops.Elu, ops.Gelu, ops.Silu, ops.Mish, ops.Hardswish),
    *(ops.Hardsigmoid, ops.Sigmoid, ops.Tanh, ops.Softplus, ops.Softsign, ops.Hardshrink, ops.Softshrink, ops.Threshold),
    *(ops.Sign, ops.BinarySign),
)

#: What moves elements, or picks the largest: a sign may stand before or behind it.
MOVERS = (ops.Reshape, ops.Permute, ops.Identity, ops.Dropout, ops.MaxPool1d, ops.MaxPool2d, ops.AdaptiveMaxPool2d)
POOLS = (ops.MaxPool1d, ops.MaxPool2d, ops.AdaptiveMaxPool2d)

_NOT_NEGATIVE = (ops.Relu, ops.Relu6, ops.Hardsigmoid, ops.Sigmoid, ops.Softplus, ops.Softmax, ops.Square, ops.Abs, ops.Exp)
_KEEP_SIGN = (
    *MOVERS,
    *(ops.AvgPool1d, ops.AvgPool2d, ops.AdaptiveAvgPool2d, ops.Mean, ops.Sum, ops.Add, ops.Concat, ops.Amax),
    *(ops.Slice, ops.Split, ops.Pad),
)


@dataclass(frozen=True)
class Before:
    """What stands between a layer and the value ``base``, in the order of the computation.

    Attributes:
        base: what everything is computed from.
        movers: ops that move elements, activations and norms left out.
        norm: a batch norm that nobody else reads, and how many of the movers stand before it.
        activation: the activation.
    """

    base: Value
    movers: tuple[Node, ...]
    norm: tuple[Node, int] | None
    activation: Node | None


def before(graph: Graph, layer: Node, *, norms: bool) -> Before:
    """Walks back from a layer to the first activation and, with ``norms``, over one batch norm."""
    base, movers = layer.input(0), list[Node]()
    norm: tuple[Node, int] | None = None
    activation: Node | None = None
    alone = True  # nobody else reads what stands between
    while (node := base.producer) is not None:
        alone = alone and graph.readers(base) == 1
        if isinstance(node.op, ACTIVATIONS) and activation is None:
            activation = node
        elif isinstance(node.op, MOVERS) and (activation is None or norms):
            movers.insert(0, node)
        elif norms and isinstance(node.op, ops.BatchNorm) and norm is None and alone:
            norm = (node, len(movers))  # counted from the end until the walk is over
        else:
            break
        base = node.input(0)
    if norm is not None:
        norm = (norm[0], len(movers) - norm[1])
    if activation is None and norm is None:  # nothing to replace: the sign stands right before the layer
        return Before(layer.input(0), (), None, None)
    return Before(base, tuple(movers), norm, activation)


def is_input(value: Value) -> bool:
    """It is what the model reads, moved at most."""
    while value.producer is not None and isinstance(value.producer.op, MOVERS):
        value = value.producer.input(0)
    return value.producer is None


def is_not_negative(value: Value) -> bool:
    """Every element is known to be 0 or above: its signs would all be +1."""
    node = value.producer
    if node is None:
        return False
    if isinstance(node.op, _NOT_NEGATIVE):
        return True
    if isinstance(node.op, ops.Clamp):
        return node.op.low is not None and node.op.low >= 0
    read = [v for v in node.inputs if v is not None and not v.is_constant]
    return isinstance(node.op, _KEEP_SIGN) and bool(read) and all(is_not_negative(v) for v in read)
