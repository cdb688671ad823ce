"""A size of a network as slices of the whole one's tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.compress.prune.analysis import Analysis, analyse
from edgekit.compress.prune.groups import find_groups, limits
from edgekit.compress.prune.oracle import check
from edgekit.compress.prune.removal import Gone, shrink, sliced
from edgekit.compress.prune.rounding import Grid
from edgekit.compress.prune.selection import select
from edgekit.compress.slimmable.depth import without_last_blocks
from edgekit.compress.slimmable.layer_weights import weights
from edgekit.compress.slimmable.size import Size
from edgekit.ir import Graph, Value, ops
from edgekit.train.memory_format import MemoryFormat

#: What is called with every value that a network computes.
Observer = Callable[[Value, Tensor], Tensor | None]


@dataclass(frozen=True)
class Nested:
    """A smaller network within a larger one.

    Attributes:
        size: which.
        graph: the smaller network, an ordinary graph with tensors of its own; its constants have the larger one's names.
        own: names in ``graph.state`` of what is not the larger network's: of batch norms, and of last layers where sizes have
            their own.
        parts: for every other name there, what makes its tensor of the larger network's.
        weights: likewise, by the name of a layer's weight as passes know it.
    """

    size: Size
    graph: Graph
    own: tuple[str, ...]
    parts: Mapping[str, Callable[[Tensor], Tensor]]
    weights: Mapping[str, Callable[[Tensor], Tensor]]

    def tensors(self, whole: Graph) -> dict[str, Tensor]:
        """The present tensors of this size by name, through which gradients flow back into the larger network's state."""
        found = {name: part(whole.state[name].tensor) for name, part in self.parts.items()}
        key = (lambda name: name) if self.size.is_whole else self.size.key
        return found | {name: whole.state[key(name)].tensor for name in self.own}

    def with_own(self, names: Collection[str]) -> Nested:
        """The same with tensors of its own for these names too."""
        rest = {name: part for name, part in self.parts.items() if name not in names}
        return replace(self, own=(*self.own, *(name for name in self.parts if name in names)), parts=rest)

    def running(self) -> Running:
        """The size as a module that runs with tensors which come from elsewhere."""
        return Running(self.graph)

    def filled(self, whole: Graph) -> Graph:
        """An ordinary graph with copies of its present tensors."""
        made = self.graph.copy()
        for name, tensor in self.tensors(whole).items():
            value, data = made.state[name], tensor.detach().clone().contiguous()
            value.data = nn.Parameter(data, requires_grad=value.tensor.requires_grad) if value.is_trainable else data
        return made


class Running(nn.Module):
    """A graph that is called with ``torch.func.functional_call``, in the memory format that it is trained in."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.network = graph.module()
        self._format = MemoryFormat(graph)

    def forward(self, inputs: list[Tensor], observe: Observer | None = None) -> list[Tensor]:
        """Inputs in, outputs out, as ``GraphModule.run``."""
        return self.network.run(inputs, observe)

    def learning(
        self, tensors: Mapping[str, Tensor], inputs: list[Tensor], watches: Collection[str]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Outputs and watched values in training mode, with these tensors in the place of its own.

        Args:
            tensors: by the names in the graph's state.
            inputs: as the graph takes them.
            watches: names of values.
        """
        features: dict[str, Tensor] = {}

        def observe(value: Value, tensor: Tensor) -> None:
            if value.name in watches:
                features[value.name] = tensor.contiguous()

        self.train(True)
        named = {f"network.{name}": tensor for name, tensor in tensors.items()}
        found = torch.func.functional_call(self, named, (self._format.going_in(inputs), observe))
        return self._format.coming_out(found), features


def nest(graph: Graph, size: Size, round_to: int = 1, norms: str = "switchable") -> Nested:
    """A size of a graph: the first channels of every group of layers that go together.

    Args:
        graph: the whole network.
        size: which.
        round_to: every layer keeps a multiple of so many channels.
        norms: "switchable": batch norms are the size's own; "shared": their statistics alone are.

    Raises:
        Unsupported: the graph is quantised, or has no residual blocks where some are to be left out.
        ParityError: the smaller network does not compute what the masked larger one does.
    """
    base = graph.copy()
    if size.depth < 1:
        without_last_blocks(base, size.depth)
    _without_leftovers(base)
    analysis = analyse(base)
    gone = _beyond(analysis, size.width, round_to)
    small = shrink(analysis, gone)
    check(analysis, gone, small)
    own = tuple(name for name in of_norms(small) if norms == "switchable" or not small.state[name].is_trainable)
    names = [name for name in first_names(small) if name not in own]
    parts = {name: _part(analysis, gone, base.state[name]) for name in names}
    return Nested(size, small, own, parts, {name: _part(analysis, gone, value) for name, (_, value) in weights(base).items()})


def _part(analysis: Analysis, gone: Gone, value: Value) -> Callable[[Tensor], Tensor]:
    def part(data: Tensor) -> Tensor:
        rest = sliced(analysis, gone, value, data)
        return data if rest is None else rest

    return part


def _beyond(analysis: Analysis, width: float, round_to: int) -> Gone:
    """The channels behind the first ones of every group."""
    groups = [group for group in find_groups(analysis) if len(group) > 1]
    scores = [np.arange(len(group), 0, -1, dtype=np.float64) for group in groups]
    grid = Grid(analysis, groups, round_to) if round_to > 1 else None
    return select(analysis, groups, scores, limits(analysis), ratio=1.0 - width, scope="local", grid=grid)


def first_names(graph: Graph) -> list[str]:
    """Names in the state, where of those that are tied one stands for all."""
    first = {id(value): name for name, value in reversed(graph.state.items())}
    return [name for name, value in graph.state.items() if first[id(value)] == name]


def of_norms(graph: Graph) -> tuple[str, ...]:
    """First names of what batch norms read."""
    read = {id(v) for n in graph.nodes if isinstance(n.op, ops.BatchNorm) for v in n.inputs[1:] if v is not None}
    found: dict[int, str] = {}
    for name, value in graph.state.items():
        if id(value) in read:
            found.setdefault(id(value), name)
    return tuple(found.values())


def _without_leftovers(graph: Graph) -> None:
    """Takes out of the state what nothing reads: other sizes' batch norms, and blocks that were left out."""
    read = {id(v) for node in graph.nodes for v in node.inputs if v is not None} | {id(v) for v in graph.outputs}
    graph.state = {name: value for name, value in graph.state.items() if id(value) in read}
    graph.transient &= set(graph.state)
