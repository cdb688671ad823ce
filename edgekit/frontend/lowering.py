"""What lowerings of every source work with: one graph, one place in the user's model, and refusals that name it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value, Where, ops
from edgekit.ir.ops import Op
from edgekit.ir.types import Batch, Dim, dtype_name

Number = int | float | bool


class GraphLowering:
    """The part of a lowering's context that knows the graph and nothing of the source's format.

    Attributes:
        graph: what is being built.
        where: the place in the user's model, given to everything that is added.
        path: leads the names of what is added until the lowering's result has its own name.
        device: where constants are made.
    """

    graph: Graph
    where: Where
    path: str
    device: torch.device

    @property
    def op_name(self) -> str:
        """How errors call the source's op."""
        raise NotImplementedError

    def is_known(self, x: Value) -> bool:
        """A constant whose content may be computed with while loading."""
        raise NotImplementedError

    # ------------------------------------------------------------------ adding

    def add(self, op: Op, *inputs: Value | None) -> Value:
        """Appends a node and returns its first output; of known constants, the result is computed at once."""
        if all(x is not None and self.is_known(x) for x in inputs) and op.at(2) is op and not op.acts_in_training:
            with torch.no_grad():
                result = op.run(*[x.tensor for x in inputs if x is not None])
            if isinstance(result, torch.Tensor):
                return self.constant(result, op.name)
        return self.add_node(op, *inputs).outputs[0]

    def add_node(self, op: Op, *inputs: Value | None) -> Node:
        """Appends a node; its name is the path and the op's name until the lowering's result is named."""
        name = f"{self.path}.{op.name}" if self.path else op.name
        try:
            return self.graph.add_node(op, inputs, name=name, where=(self.where,))
        except Unsupported:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self.refused(f"'{self.op_name}' cannot become '{op}': {error}") from error

    def constant(self, data: torch.Tensor, name: str = "constant") -> Value:
        """A constant of the graph."""
        return self.graph.constant(data, f"{self.path}.{name}" if self.path else name)

    def scalar(self, value: Number, dtype: torch.dtype) -> Value:
        """A constant of rank 0."""
        if isinstance(value, Batch):
            raise self.refused(
                "the batch size enters a computation as a number", "let no value depend on how many samples there are"
            )
        return self.constant(torch.tensor(value, dtype=dtype, device=self.device), "scalar")

    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        """x under another shape; x itself if it has that shape."""
        return x if x.shape == tuple(shape) else self.add(ops.Reshape(shape=tuple(shape)), x)

    def permute(self, x: Value, dims: Sequence[int]) -> Value:
        """x with its dimensions in another order; x itself for the present order."""
        return x if tuple(dims) == tuple(range(x.type.rank)) else self.add(ops.Permute(dims=tuple(dims)), x)

    def cast(self, x: Value, dtype: torch.dtype) -> Value:
        """x with another element type."""
        return x if x.type.dtype == dtype else self.add(ops.Cast(dtype=dtype_name(dtype)), x)

    def operand(self, x: Value | Number, dtype: torch.dtype) -> Value:
        """A number or tensor as a tensor of this element type."""
        return self.cast(x, dtype) if isinstance(x, Value) else self.scalar(x, dtype)

    def expand(self, x: Value, shape: Sequence[Dim]) -> Value:
        """x broadcast to a shape of the same or a higher rank."""
        shape = tuple(shape)
        padded = (*(1,) * (len(shape) - x.type.rank), *x.shape)
        if padded == shape:
            return self.reshape(x, shape)
        return self.add(ops.Expand(shape=shape), self.reshape(x, padded))

    def filled(self, shape: Sequence[Dim], value: Number, dtype: torch.dtype) -> Value:
        """A tensor full of one number: a constant, expanded where its shape depends on the batch."""
        fixed = tuple(size if isinstance(size, int) else 1 for size in shape)
        data = self.constant(torch.full(fixed, value, dtype=dtype, device=self.device), "full")
        return data if fixed == tuple(shape) else self.add(ops.Expand(shape=tuple(shape)), data)

    def slice(self, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """``x[start:stop:step]`` along one dimension of fixed size, bounds within it; x itself for the whole.

        A slice of a slice along another dimension is one slice: ``x[:, :, ::2, ::2]`` is traced as a slice per dimension.
        """
        if (start, stop, step) == (0, x.shape[axis], 1):
            return x
        starts, stops, steps = [0] * x.type.rank, list(x.shape), [1] * x.type.rank
        before = x.producer.op if x.producer is not None else None
        if isinstance(before, ops.Slice) and (before.starts[axis], before.steps[axis]) == (0, 1):
            starts, stops, steps = list(before.starts), list(before.stops), list(before.steps)
            assert x.producer is not None
            x = x.producer.input(0)
        starts[axis], stops[axis], steps[axis] = start, stop, step
        return self.add(ops.Slice(starts=tuple(starts), stops=tuple(stops), steps=tuple(steps)), x)

    def sizes_product(self, shape: Sequence[Dim]) -> Dim:
        """The number of elements as a dimension."""
        numbers = prod(d.multiple if isinstance(d, Batch) else d for d in shape)
        batches = sum(isinstance(d, Batch) for d in shape)
        self.need(batches < 2, "multiplies two dimensions that depend on the batch")
        return Batch(numbers) if batches else numbers

    # ------------------------------------------------------------------ refusing

    def refused(self, what: str, hint: str | None = None) -> Unsupported:
        """The error to raise where the op or its arguments have no form in the graph."""
        return Unsupported(what, where=self.where, hint=hint)

    def need(self, holds: bool, what: str, hint: str | None = None) -> None:
        """Raises ``refused(what)`` unless the condition holds; ``what`` follows the op's name."""
        if not holds:
            raise self.refused(f"'{self.op_name}' {what}", hint)


def axis_of(axis: int, rank: int) -> int:
    """A non-negative axis."""
    return axis + rank if axis < 0 else axis


def axes_of(axes: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Non-negative axes in ascending order; all of them for None or an empty list."""
    if isinstance(axes, int):
        axes = (axes,)
    return tuple(sorted(axis_of(a, rank) for a in axes)) if axes else tuple(range(rank))
