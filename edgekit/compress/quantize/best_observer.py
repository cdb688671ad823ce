"""``observer = "auto"``: for every group of values, the observer whose range does the least harm on samples it did not see.

The calibration samples are split in two. Every observer gives a range from the one half; on the other, the error e that this
range's rounding and clipping make is taken from the values themselves, and with it the change of the network's output to
first order: for random projections of the output, (g . e)^2 with the gradient g of the projection (see ``sensitivity.py``).
"output_error" is kept unless another observer is better by more than twice the standard error of the paired difference. What
was chosen then gives the range from all samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from edgekit.compress.quantize.groups import Group, Groups
from edgekit.compress.quantize.observers import SIMPLE, observe
from edgekit.compress.quantize.params import activation_params
from edgekit.compress.quantize.ranges import Ranges, by_output_error, levels, rounded_values
from edgekit.compress.quantize.sensitivity import Seer, cut, probe
from edgekit.compress.quantize.statistics import Statistics, collect
from edgekit.ir import Graph
from edgekit.ir.fake_quant import fake_quantize

#: The one that is kept where none is measurably better.
_DEFAULT = "output_error"

#: Samples that are kept together when the calibration data is split.
_PORTION = 4

#: How many standard errors a difference must be worth.
_SURE = 2.0


def best_observers(graph: Graph, batches: Sequence[list[torch.Tensor]], groups: Groups, share: float) -> dict[int, str]:
    """The name of the best observer by ``id(group)``, for groups without fixed parameters.

    Args:
        graph: float.
        batches: calibration inputs; where they are a single sample (or can't be split) all is measured on what was seen.
        groups: of the graph's values.
        share: the percentile observer's.
    """
    free = {id(group): group for group in groups.all() if group.fixed is None}
    fitted, judged = split(graph, batches)
    seen = _seen_by_half(graph, fitted, free)
    candidates: dict[str, Ranges] = {_DEFAULT: by_output_error(graph, fitted, groups, seen)}
    for name in SIMPLE:
        candidates[name] = {key: observe(name, stats, share, levels(free[key])) for key, stats in seen.items()}
    errors = output_errors(graph, judged, rounded_values(graph, groups, free), candidates)
    return {key: _best(errors[key]) if key in errors else _DEFAULT for key in free}


def split(
    graph: Graph, batches: Sequence[list[torch.Tensor]]
) -> tuple[Sequence[list[torch.Tensor]], Sequence[list[torch.Tensor]]]:
    """Two halves of the samples, taken in turn; twice the same where there is only one portion."""
    portions = cut(graph, batches, _PORTION)
    return (portions[::2], portions[1::2]) if len(portions) > 1 else (portions, portions)


def _seen_by_half(graph: Graph, batches: Sequence[list[torch.Tensor]], free: Mapping[int, Group]) -> dict[int, Statistics]:
    """Joint statistics of every group's members on these batches."""
    found = collect(graph, batches, histograms=True, moving=True)
    owner = {member: key for key, group in free.items() for member in group.members}
    joint: dict[int, Statistics] = {}
    for member, stats in found.items():
        if (key := owner.get(member)) is not None:
            joint[key] = joint[key].merge(stats) if key in joint else stats
    return joint


def output_errors(
    graph: Graph,
    batches: Sequence[list[torch.Tensor]],
    members: Mapping[int, Group],
    candidates: Mapping[str, Ranges],
) -> dict[int, dict[str, torch.Tensor]]:
    """First-order squared output errors by ``id(group)`` and candidate: one entry a sample, projection and member.

    Args:
        graph: float.
        batches: graph inputs.
        members: the group of every value that is looked at, by ``id(value)``.
        candidates: ranges to compare.
    """
    parts: dict[int, dict[str, list[torch.Tensor]]] = {}

    def look(key: int, x: torch.Tensor) -> Seer:
        group = members[key]
        rounding = {
            name: fake_quantize(x, activation_params(*ranges[id(group)], group.type)) - x
            for name, ranges in candidates.items()
            if id(group) in ranges
        }

        def see(gradient: torch.Tensor, weight: float) -> None:
            kept = parts.setdefault(id(group), {})
            for name, error in rounding.items():
                change = (gradient * error).reshape(x.shape[0] if x.dim() else 1, -1).sum(1, dtype=torch.float64)
                kept.setdefault(name, []).append(change.square() * weight)

        return see

    probe(graph, batches, members, look, memory=8 << 20)
    return {key: {name: torch.cat(rows) for name, rows in kept.items()} for key, kept in parts.items()}


def _best(errors: Mapping[str, torch.Tensor]) -> str:
    """The candidate with the least mean error, if it is surely better than the default."""
    if _DEFAULT not in errors:
        return _DEFAULT
    name = min(errors, key=lambda n: float(errors[n].mean()))
    gain = errors[_DEFAULT] - errors[name]
    if len(gain) < 2:
        return _DEFAULT
    return name if float(gain.mean()) > _SURE * float(gain.std()) / len(gain) ** 0.5 else _DEFAULT
