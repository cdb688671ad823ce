"""What several removals took away together, in the indices of the graph that the first one was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekit.ir import Graph


class AllGone:
    """What all removals took away."""

    def __init__(self, graph: Graph) -> None:
        """None yet, of this graph."""
        self._sizes = {name: value.tensor_shape for name, value in graph.state.items()}
        self._left: dict[tuple[str, int], np.ndarray[Any, Any]] = {}

    def add(self, removed: Mapping[str, Mapping[int, tuple[int, ...]]]) -> None:
        """One removal, in the indices of the graph that it was given."""
        for name, axes in removed.items():
            for axis, indices in axes.items():
                left = self._left.get((name, axis), np.arange(self._sizes[name][axis]))
                self._left[name, axis] = np.delete(left, list(indices))

    def removed(self) -> dict[str, dict[int, tuple[int, ...]]]:
        """All of it."""
        found: dict[str, dict[int, tuple[int, ...]]] = {}
        for (name, axis), left in self._left.items():
            lost = np.setdiff1d(np.arange(self._sizes[name][axis]), left)
            if len(lost):
                found.setdefault(name, {})[axis] = tuple(int(i) for i in lost)
        return found
