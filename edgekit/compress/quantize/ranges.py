"""Choose the range of every group of values that share a scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.compress.quantize import sensitivity
from edgekit.compress.quantize.curves import Sensitivity
from edgekit.compress.quantize.groups import COPIES, Groups
from edgekit.compress.quantize.observers import min_max, mse, percentile
from edgekit.compress.quantize.statistics import Statistics
from edgekit.ir import Graph, Value


def choose_ranges(
    graph: Graph, batches: Sequence[list[torch.Tensor]], groups: Groups, observer: str, share: float
) -> dict[int, tuple[float, float]]:
    """(low, high) by ``id(group)``, by one of ``OBSERVERS`` (``share`` is the percentile's); groups with fixed parameters are
    left out.
    """
    free = [g for g in groups.all() if g.fixed is None]
    stats = {id(g): g.stats or Statistics(0.0, 0.0) for g in free}
    if observer == "output_error":
        return _by_output_error(graph, batches, groups, stats)
    if observer == "percentile":
        return {key: percentile(seen, share) for key, seen in stats.items()}
    choose = {"min_max": min_max, "mse": mse}[observer]
    return {key: choose(seen) for key, seen in stats.items()}


def _by_output_error(
    graph: Graph, batches: Sequence[list[torch.Tensor]], groups: Groups, stats: dict[int, Statistics]
) -> dict[int, tuple[float, float]]:
    """Sums the curves of each group's members. Copies of another member round nothing anew and are left out."""
    wanted: dict[int, tuple[float, float]] = {}
    for value in graph.values():
        if groups.has(value) and id(groups.of(value)) in stats and not _is_copy(value, groups):
            seen = stats[id(groups.of(value))]
            wanted[id(value)] = (seen.low, seen.high)
    curves: dict[int, Sensitivity] = {}
    for value_id, found in sensitivity.measure(graph, batches, wanted).items():
        curves.setdefault(id(groups.by_id(value_id)), Sensitivity()).add(found)
    return {
        key: sensitivity.best_range(seen.low, seen.high, curves[key]) if key in curves else (seen.low, seen.high)
        for key, seen in stats.items()
    }


def _is_copy(value: Value, groups: Groups) -> bool:
    producer = value.producer
    if producer is None or not isinstance(producer.op, COPIES):
        return False
    return any(v is not None and groups.has(v) and groups.of(v) is groups.of(value) for v in producer.inputs)
