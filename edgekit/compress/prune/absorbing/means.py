"""Means of channels over data: of samples and positions."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from edgekit.compress.prune.absorbing.hidden import HiddenMeans
from edgekit.ir import Graph, Node, Value


class Means:
    """Means of values along one axis each, and of what recurrent layers keep to themselves."""

    def __init__(
        self,
        graph: Graph,
        wanted: Iterable[tuple[Value, int]],
        recurrent: Iterable[Node],
        batches: list[list[torch.Tensor]],
    ) -> None:
        """Runs the graph, in evaluation mode, over all batches."""
        axes: dict[int, set[int]] = {}
        for value, axis in wanted:
            axes.setdefault(id(value), set()).add(axis)
        self._sums: dict[tuple[int, int], tuple[torch.Tensor, int]] = {}
        self.hidden = {id(node): HiddenMeans(node) for node in recurrent}

        def observe(value: Value, tensor: torch.Tensor) -> None:
            for axis in axes.get(id(value), ()):
                rows = tensor.detach().cpu().double().movedim(axis, 0).flatten(1)
                total, count = self._sums.get((id(value), axis), (torch.zeros(len(rows), dtype=torch.float64), 0))
                self._sums[id(value), axis] = total + rows.sum(1), count + rows.shape[1]
            for hidden in self.hidden.values():
                hidden.observe(value, tensor)

        module = graph.module().eval()
        with torch.no_grad():
            for batch in batches:
                module.run(batch, observe)

    def __call__(self, value: Value, axis: int) -> torch.Tensor:
        """The mean of each index along the axis."""
        total, count = self._sums[id(value), axis]
        return total / count
