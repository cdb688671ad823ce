"""One node that becomes smaller: what the functions in ``coupling.table.SHRINKS`` see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from edgekit.compress.prune.atoms import Labels
from edgekit.ir import Batch, Dim, Graph, Node, Value, ops
from edgekit.ir.ops import Op


@dataclass(frozen=True)
class Change:
    """``old`` is the node of the graph that was given, ``new`` the one in the copy; ``kept_of`` gives what stays of an axis."""

    graph: Graph
    old: Node
    new: Node
    kept_of: Callable[[Value, int], Labels]

    @property
    def op(self) -> Op:
        """The attributes so far."""
        return self.old.op

    def kept(self, value: Value, axis: int) -> Labels:
        """Indices of an old value's axis that stay, ascending."""
        return self.kept_of(value, axis)

    def is_thinned(self, value: Value, axis: int) -> bool:
        """Some index of the axis goes."""
        size = value.type.shape[axis]
        return len(self.kept(value, axis)) < (size.multiple if isinstance(size, Batch) else size)

    def new_shape(self, value: Value) -> tuple[Dim, ...]:
        """What is left of each dimension of an old value."""
        left = [len(self.kept(value, axis)) for axis in range(value.type.rank)]
        return tuple(Batch(n) if isinstance(d, Batch) else n for n, d in zip(left, value.type.shape, strict=True))

    def gather_first(self, axis: int, picked: Labels) -> None:
        """The new node reads these indices of its first input instead of all of them."""
        index = self.graph.constant(torch.from_numpy(picked.copy()), "channels")
        x = self.new.input(0)
        chosen = self.graph.add(ops.Gather(axis=axis), x, index, name=x.name, where=self.new.where, before=self.new)
        self.graph.set_input(self.new, 0, chosen)

    def replace_constant(self, at: int, data: Labels) -> None:
        """The new node reads this constant at one of its inputs; others that read the old one keep it."""
        old = self.new.input(at)
        constant = self.graph.constant(torch.from_numpy(data.copy()).to(old.type.dtype), old.name)
        self.graph.set_input(self.new, at, constant)
