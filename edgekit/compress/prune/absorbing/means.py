"""Means of channels over data: of samples and positions."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from edgekit.compress.prune.absorbing.hidden import HiddenMeans
from edgekit.compress.prune.absorbing.sums import Reader
from edgekit.ir import Graph, Node, Value


class Means:
    """Means of values along one axis each, and of what recurrent layers keep to themselves."""

    def __init__(
        self,
        graph: Graph,
        readers: Iterable[Reader],
        recurrent: Iterable[Node],
        batches: list[list[torch.Tensor]],
    ) -> None:
        """Runs the graph, in evaluation mode, over all batches."""
        axes: dict[int, set[int]] = {}
        self._weights: dict[int, torch.Tensor | None] = {}
        for reader in readers:
            axes.setdefault(id(reader.x), set()).add(reader.axis)
            self._weights[id(reader.weight)] = reader.weight.tensor if reader.weight.is_constant else None
        self._sums: dict[tuple[int, int], tuple[torch.Tensor, int]] = {}
        self.hidden = {id(node): HiddenMeans(node) for node in recurrent}

        def observe(value: Value, tensor: torch.Tensor) -> None:
            for axis in axes.get(id(value), ()):
                rows = tensor.detach().cpu().double().movedim(axis, 0).flatten(1)
                total, count = self._sums.get((id(value), axis), (torch.zeros(len(rows), dtype=torch.float64), 0))
                self._sums[id(value), axis] = total + rows.sum(1), count + rows.shape[1]
            if id(value) in self._weights:
                self._weights[id(value)] = tensor
            for hidden in self.hidden.values():
                hidden.observe(value, tensor)

        module = graph.module().eval()
        with torch.no_grad():
            for batch in batches:
                module.run(batch, observe)

    def channels(self, reader: Reader) -> torch.Tensor:
        """The mean of each channel that a layer reads."""
        total, count = self._sums[id(reader.x), reader.axis]
        return total / count

    def weight(self, reader: Reader) -> torch.Tensor:
        """The layer's weight, also where the graph computes it, in double precision."""
        found = self._weights[id(reader.weight)]
        assert found is not None
        return found.detach().cpu().double()
