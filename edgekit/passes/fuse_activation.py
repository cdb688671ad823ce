"""Fuse an activation into the op before it."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import Rewrite, Skip, sole_producer, succeed

_HOSTS = (
    ops.Conv1d,
    ops.Conv2d,
    ops.ConvTranspose1d,
    ops.ConvTranspose2d,
    ops.Linear,
    ops.Add,
    ops.Sub,
    ops.Mul,
    ops.Div,
)


def activation_of(op: ops.Op) -> str:
    """The fused activation of an op; "none" where it has none or can't have one."""
    return str(getattr(op, "activation", "none"))


def with_activation(op: ops.Op, activation: str) -> ops.Op:
    """The op with another fused activation."""
    return op.with_(activation=activation)


def activation_name(node: Node) -> str | None:
    """The fused name of an activation op, or None if it has none."""
    if isinstance(node.op, ops.Relu):
        return "relu"
    if isinstance(node.op, ops.Relu6):
        return "relu6"
    if isinstance(node.op, ops.Clamp):
        return {(0.0, None): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}.get((node.op.low, node.op.high))  # type: ignore[arg-type]
    return None


@dataclass(frozen=True)
class FuseActivation(Rewrite):
    """Fuse relu, relu6 and clamp(-1, 1) into the convolution, linear or arithmetic op before them.

    Given::   %y = conv2d(%x, @w, @b)
              %z = relu(%y)
    Result::  %z = conv2d(%x, @w, @b, activation='relu')
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return activation_name(node) is not None

    def rewrite(self, graph: Graph, node: Node) -> None:
        producer = sole_producer(graph, node, *_HOSTS)
        if producer is None:
            source = node.input(0).producer
            raise Skip("it acts on an input" if source is None else f"a '{source.op.name}' takes no fused activation")
        if activation_of(producer.op) != "none":
            raise Skip(f"{producer!r} has an activation already")
        if not node.input(0).type.is_float:
            raise Skip("it acts on integers")
        name = activation_name(node)
        assert name is not None
        graph.set_op(producer, with_activation(producer.op, name))
        succeed(graph, node.output, producer.output)
