"""Samples as a graph or a file takes them at once, and outputs back as samples.

Between the stages samples are stacked along axis 0, whatever the model's own batch axis is. A model whose batch is fixed is
fed that many at a time, the last ones repeated where they do not fill it; an input that belongs to no sample is fed with one
sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgekit.ir import Graph, Value
from edgekit.ir.types import Batch

Array = np.ndarray[Any, Any]

#: Runs a model once: its inputs in the graph's order, its outputs likewise.
Call = Callable[[list[Array]], Sequence[Array]]

#: Samples that run at once: so many, or as many as keep a graph's largest value below so many elements.
_AT_ONCE = 32
_ELEMENTS = 1 << 21


@dataclass(frozen=True)
class Outputs:
    """All outputs of a model as float32, stacked samples first (an output without batch stands once)."""

    arrays: list[Array]

    def joined(self) -> Array:
        """All elements in a row."""
        return np.concatenate([a.reshape(-1) for a in self.arrays])


def stacking(value: Value, graph: Graph) -> tuple[int | None, int]:
    """The axis of an input along which samples stand and the rows of one sample there; None: it belongs to no sample."""
    for axis, dim in enumerate(value.type.shape):
        if isinstance(dim, Batch):
            return axis, dim.multiple
    return (None, 1) if fixed_batch(graph) is None else (0, 1)


def fixed_batch(graph: Graph) -> int | None:
    """The number of samples that a model of fixed batch takes: the size of axis 0 of all its inputs; None for other models."""
    shapes = [value.type.shape for value in graph.inputs]
    if not shapes or any(isinstance(dim, Batch) for shape in shapes for dim in shape):
        return None
    sizes = {shape[0] if shape else None for shape in shapes}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


def sample_shape(value: Value, graph: Graph) -> tuple[int, ...]:
    """The shape of one sample of an input."""
    axis, _ = stacking(value, graph)
    shape = value.type.at(1)
    return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])


def count_of(samples: Sequence[Array], graph: Graph) -> int:
    """How many samples there are."""
    return min(len(array) // stacking(value, graph)[1] for array, value in zip(samples, graph.inputs, strict=True))


def first(samples: Sequence[Array], graph: Graph, count: int) -> list[Array]:
    """The first samples, at most ``count``."""
    return [array[: count * stacking(value, graph)[1]] for array, value in zip(samples, graph.inputs, strict=True)]


def batches(samples: Sequence[Array], graph: Graph) -> list[list[torch.Tensor]]:
    """Samples as graph inputs, some at a time."""
    return [[torch.from_numpy(a) for a in arrays] for arrays in fed(samples, graph, at_once(graph))]


def at_once(graph: Graph) -> int:
    """Samples that may run through a graph at once."""
    largest = max((v.type.numel() for v in graph.values() if not v.is_constant), default=1)
    return max(1, min(_AT_ONCE, _ELEMENTS // max(largest, 1)))


def fed(samples: Sequence[Array], graph: Graph, size: int) -> Iterator[list[Array]]:
    """Stacked samples in portions of ``size`` (or of the model's own batch), as the graph takes them."""
    places = [stacking(value, graph) for value in graph.inputs]
    fixed = fixed_batch(graph)
    size = fixed or (1 if any(axis is None for axis, _ in places) else size)
    count = count_of(samples, graph)
    for start in range(0, count, size):
        chosen = np.arange(start, start + size if fixed else min(start + size, count)).clip(max=count - 1)
        yield [
            np.asarray(  # and not ascontiguousarray, which makes a vector of a single number
                array[start]
                if axis is None
                else np.moveaxis(array[chosen] if rows == 1 else array[start * rows : (chosen[-1] + 1) * rows], 0, axis),
                order="C",
            )
            for array, (axis, rows) in zip(samples, places, strict=True)
        ]


def run(call: Call, samples: Sequence[Array], graph: Graph, size: int) -> Outputs:
    """What a model gives for stacked samples.

    Args:
        call: runs it once.
        samples: of every input.
        graph: says where samples stand in its inputs and outputs; the model need not be the graph.
        size: samples a call.
    """
    results = [call(arrays) for arrays in fed(samples, graph, size)]
    count, fixed = count_of(samples, graph), fixed_batch(graph)
    stacked = []
    for index, value in enumerate(graph.outputs):
        parts = [np.asarray(result[index], np.float32) for result in results]
        axis = next((a for a, dim in enumerate(value.type.shape) if isinstance(dim, Batch)), None)
        if fixed and parts[0].ndim and parts[0].shape[0] % fixed == 0:
            rows = parts[0].shape[0] // fixed
            stacked.append(np.concatenate(parts)[: count * rows])
        elif axis is None:
            stacked.append(parts[0])
        else:
            stacked.append(np.concatenate([np.moveaxis(part, axis, 0) for part in parts]))
    return Outputs(stacked)
