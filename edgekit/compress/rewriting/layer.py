"""A layer that could be rewritten: a weight with all of the nodes that compute with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.ops.base import Op

CONVOLUTIONS = (ops.Conv1d, ops.Conv2d)
RECURRENT = (ops.Lstm, ops.Gru, ops.Rnn)


@dataclass(frozen=True, eq=False)
class Layer:
    """One weight and its readers: more than one where it is tied or its module is called several times.

    Attributes:
        names: of the weight in the user's model; the value's own name where it is no state.
        weights: (O, I / groups, *kernel) of a convolution, (O, I) of a linear layer; of a recurrent layer the matrices of
            both directions that multiply its input, which stand for one with the rows of all.
        nodes: all of one op class and, for convolutions, of one number of groups.
    """

    names: tuple[str, ...]
    weights: tuple[Value, ...]
    nodes: tuple[Node, ...]

    @property
    def name(self) -> str:
        """The first name."""
        return self.names[0]

    @property
    def dense(self) -> torch.Tensor:
        """The weight in double precision, on the CPU."""
        return torch.cat([weight.tensor.detach().cpu().double() for weight in self.weights])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of ``dense``."""
        return (sum(w.tensor_shape[0] for w in self.weights), *self.weights[0].tensor_shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """Of the weight in the graph."""
        return self.weights[0].type.dtype

    @property
    def is_convolution(self) -> bool:
        """Its nodes are convolutions."""
        return isinstance(self.nodes[0].op, CONVOLUTIONS)

    @property
    def is_recurrent(self) -> bool:
        """Its nodes are LSTMs or the like."""
        return isinstance(self.nodes[0].op, RECURRENT)

    @property
    def kind(self) -> str:
        """What it is, for reasons."""
        if self.is_recurrent:
            return f"the input matrix of one '{self.nodes[0].op.name}'"
        return "a convolution" if self.is_convolution else "a linear layer"

    @property
    def groups(self) -> int:
        """Groups of the convolution; 1 for others."""
        return int(getattr(self.nodes[0].op, "groups", 1))

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of the kernel; empty where there is none."""
        return self.shape[2:]

    @property
    def macs(self) -> int:
        """Multiply-accumulates with this weight in all of its nodes for one sample."""
        if not self.is_recurrent:
            return sum(node.op.macs(node) for node in self.nodes)
        rows = (node.input(0).type.numel() // node.input(0).tensor_shape[-1] for node in self.nodes)
        return self.parameters * sum(rows)

    @property
    def parameters(self) -> int:
        """Elements of the weight (the bias stays)."""
        return sum(weight.tensor.numel() for weight in self.weights)

    @property
    def is_trainable(self) -> bool:
        """It is a parameter, not a constant."""
        return self.weights[0].is_trainable

    def op(self, node: Node) -> Op:
        """The op by which the weight meets the input of a node."""
        return ops.Linear() if self.is_recurrent else node.op


def names_of(graph: Graph, value: Value) -> tuple[str, ...]:
    """All names of a value in the user's model, or the value's own."""
    return tuple(name for name, v in graph.state.items() if v is value) or (value.name,)
