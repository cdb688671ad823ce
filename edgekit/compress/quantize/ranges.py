"""Choose the range of every group of values that share a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from edgekit.compress.quantize import sensitivity
from edgekit.compress.quantize.curves import Sensitivity
from edgekit.compress.quantize.groups import COPIES, Group, Groups
from edgekit.compress.quantize.observers import observe
from edgekit.compress.quantize.statistics import Statistics
from edgekit.ir import Graph, Value
from edgekit.ir.quant import RANGES

#: (low, high) by ``id(group)``.
Ranges = dict[int, tuple[float, float]]


def choose_ranges(
    graph: Graph, batches: Sequence[list[torch.Tensor]], groups: Groups, observer: str, share: float
) -> tuple[Ranges, dict[int, str]]:
    """The range of every group by one of ``OBSERVERS`` (``share`` is the percentile's), and the observer that gave it.

    Both by ``id(group)``; groups with fixed parameters are left out.
    """
    if observer == "auto":
        from edgekit.compress.quantize.best_observer import best_observers

        names = best_observers(graph, batches, groups, share)
    else:
        names = {id(group): observer for group in groups.all() if group.fixed is None}
    # 65,535 steps resolve whatever was seen: nothing is gained by clipping.
    names |= {id(group): "min_max" for group in groups.all() if id(group) in names and group.type == "int16"}
    seen = {id(group): group.stats or Statistics(0.0, 0.0) for group in groups.all() if id(group) in names}
    by_error = {key: seen[key] for key, name in names.items() if name == "output_error"}
    found = by_output_error(graph, batches, groups, by_error) if by_error else {}
    for group in groups.all():
        key = id(group)
        if key in names and key not in found:
            found[key] = observe(names[key], seen[key], share, levels(group))
    return found, names


def levels(group: Group) -> int:
    """How many integers the group's values may take."""
    least, most = RANGES[group.type]
    return most - least + 1


def rounded_values(graph: Graph, groups: Groups, keys: Mapping[int, object]) -> dict[int, Group]:
    """The values, by id, of the groups in ``keys``; without those that copy another member and round nothing anew."""
    return {
        id(value): groups.of(value)
        for value in graph.values()
        if groups.has(value) and id(groups.of(value)) in keys and not _is_copy(value, groups)
    }


def by_output_error(
    graph: Graph, batches: Sequence[list[torch.Tensor]], groups: Groups, stats: Mapping[int, Statistics]
) -> Ranges:
    """The ranges with the least first-order error of the network's output, for the groups in ``stats``.

    The curves of each group's members are summed.
    """
    members = rounded_values(graph, groups, stats)
    wanted = {value: (stats[id(group)].low, stats[id(group)].high) for value, group in members.items()}
    curves: dict[int, Sensitivity] = {}
    for value, found in sensitivity.measure(graph, batches, wanted).items():
        curves.setdefault(id(members[value]), Sensitivity()).add(found)
    sizes = {id(group): levels(group) for group in groups.all()}
    return {
        key: sensitivity.best_range(seen.low, seen.high, curves[key], sizes[key]) if key in curves else (seen.low, seen.high)
        for key, seen in stats.items()
    }


def _is_copy(value: Value, groups: Groups) -> bool:
    producer = value.producer
    if producer is None or not isinstance(producer.op, COPIES):
        return False
    return any(v is not None and groups.has(v) and groups.of(v) is groups.of(value) for v in producer.inputs)
