"""A memory plan made beforehand: where each activation lies in TensorFlow Lite Micro's arena.

TensorFlow Lite Micro plans greedily on the device, largest tensor first; that is often not the best. A plan in the file's
metadata (``OfflineMemoryAllocation``) is used instead. The search tries orders of placement, each tensor into the lowest gap
that fits it during its lifetime, until the plan is as small as the largest sum of bytes that live at one time, which nothing
can be below.

Format (tensorflow/lite/micro/docs/memory_management.md): int32 version = 1, subgraph, number of tensors, then the offset of
each tensor, -1 for tensors that are not planned.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekit.formats.tflite.model import Model, Subgraph

METADATA_NAME = "OfflineMemoryAllocation"
#: TensorFlow Lite Micro aligns every buffer of its arena to this.
ALIGNMENT = 16
_VERSION = 1
_ORDERS = 3000


@dataclass(frozen=True)
class Lifetime:
    """A planned tensor: its index, its bytes, and the first and last operator during which it must lie in memory."""

    tensor: int
    nbytes: int
    first: int
    last: int


def lower_bound(sizes: Sequence[int], first_use: Sequence[int], last_use: Sequence[int], alignment: int = ALIGNMENT) -> int:
    """The largest sum of aligned bytes that live at one time: no plan is smaller."""
    steps = range(min(first_use, default=0), max(last_use, default=-1) + 1)
    aligned = [_aligned(size, alignment) for size in sizes]
    live = (sum(n for n, a, b in zip(aligned, first_use, last_use, strict=True) if a <= step <= b) for step in steps)
    return max(live, default=0)


def plan_offline(
    sizes: Sequence[int], first_use: Sequence[int], last_use: Sequence[int], alignment: int = ALIGNMENT
) -> list[int]:
    """Offsets such that tensors whose lifetimes overlap do not, in as few bytes as were found; the same input, the same plan.

    Args:
        sizes: bytes of each tensor.
        first_use: first step (operator index) of each tensor's life.
        last_use: last step, inclusive.
        alignment: of every offset.
    """
    count = len(sizes)
    aligned = [_aligned(size, alignment) for size in sizes]
    clashes = _clashes(first_use, last_use)
    bound = lower_bound(sizes, first_use, last_use, alignment)
    by_size = sorted(range(count), key=lambda i: (-aligned[i], first_use[i]))
    best = _place(by_size, aligned, clashes)
    best_end = plan_end(best, aligned)
    rng = random.Random(0)
    order = list(by_size)
    for _ in range(_ORDERS if count > 1 else 0):
        if best_end <= bound:
            break
        trial = list(order)
        for _ in range(rng.randint(1, 3)):  # a neighbour of the best order so far
            i, j = rng.randrange(count), rng.randrange(count)
            trial.insert(j, trial.pop(i))
        offsets = _place(trial, aligned, clashes)
        end = plan_end(offsets, aligned)
        if end <= best_end:
            order, best, best_end = trial, offsets, end
    return best


def greedy_plan(
    sizes: Sequence[int], first_use: Sequence[int], last_use: Sequence[int], alignment: int = ALIGNMENT
) -> list[int]:
    """The plan that TensorFlow Lite Micro makes by itself: largest first, of equals the last, each into the lowest gap."""
    count = len(sizes)
    aligned = [_aligned(size, alignment) for size in sizes]
    clashes = _clashes(first_use, last_use)
    return _place(sorted(range(count), key=lambda i: (-aligned[i], -i)), aligned, clashes)


def plan_end(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    """Bytes that a plan takes."""
    return max((offset + size for offset, size in zip(offsets, sizes, strict=True)), default=0)


def lifetimes(graph: Subgraph) -> list[Lifetime]:
    """The activations of a subgraph as TensorFlow Lite Micro plans them: not constants, not variables, nothing of no size.

    Inputs live from the first operator on, outputs to the last.
    """
    end = max(len(graph.operators) - 1, 0)
    first: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[int, int] = {}
    for step, operator in enumerate(graph.operators):
        for tensor in operator.outputs:
            first.setdefault(tensor, step)
            last[tensor] = max(step, last.get(tensor, step))
        for tensor in operator.inputs:
            if tensor >= 0:
                last[tensor] = step
    last |= dict.fromkeys(graph.outputs, end)
    return [
        Lifetime(index, tensor.nbytes, first[index], last.get(index, first[index]))
        for index, tensor in enumerate(graph.tensors)
        if index in first and tensor.data is None and not tensor.is_variable and tensor.nbytes
    ]


def with_offline_plan(model: Model) -> Model:
    """The model with a plan in its metadata where that is smaller than what the device would plan, else the model itself."""
    lives = lifetimes(model.main)
    columns = [life.nbytes for life in lives], [life.first for life in lives], [life.last for life in lives]
    offsets = plan_offline(*columns)
    aligned = [_aligned(life.nbytes, ALIGNMENT) for life in lives]
    if len(model.subgraphs) != 1 or plan_end(offsets, aligned) >= plan_end(greedy_plan(*columns), aligned):
        return model
    table = [-1] * len(model.main.tensors)
    for life, offset in zip(lives, offsets, strict=True):
        table[life.tensor] = offset
    content = struct.pack(f"<{3 + len(table)}i", _VERSION, 0, len(table), *table)
    return replace(model, metadata={**model.metadata, METADATA_NAME: content})


def _place(order: Sequence[int], sizes: Sequence[int], clashes: Sequence[Sequence[int]]) -> list[int]:
    """Offsets of tensors placed in this order, each into the lowest gap between those it clashes with."""
    offsets = [-1] * len(sizes)
    for i in order:
        taken = sorted((offsets[j], offsets[j] + sizes[j]) for j in clashes[i] if offsets[j] >= 0)
        at = 0
        for begin, end in taken:
            if begin - at >= sizes[i]:
                break
            at = max(at, end)
        offsets[i] = at
    return offsets


def _clashes(first_use: Sequence[int], last_use: Sequence[int]) -> list[list[int]]:
    """For each tensor the others that live at the same time."""
    spans = list(zip(first_use, last_use, strict=True))
    return [
        [j for j, (begin, end) in enumerate(spans) if j != i and first <= end and begin <= last]
        for i, (first, last) in enumerate(spans)
    ]


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
