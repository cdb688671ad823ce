"""How many channels each group keeps so that every layer keeps a multiple: solved together for groups that share a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.groups import Group

#: Where a count is rounded to: up, to the nearest, or as low as can be.
Rounding = Literal["up", "nearest", "least"]


@dataclass(frozen=True)
class Layer:
    """An axis along which channels are made: ``members`` of it for each channel of a group, ``others`` that stay anyway."""

    members: Mapping[int, int]
    others: int
    size: int

    def accepts(self, counts: Mapping[int, int], multiple: int) -> bool:
        """It keeps a multiple, or all of its channels."""
        kept = self.others + sum(each * counts[group] for group, each in self.members.items())
        return kept > 0 and (kept == self.size or kept % multiple == 0)


class Grid:
    """The counts that keep a multiple in every layer.

    A layer with channels of several groups (the padded shortcuts of ResNets, two parts of a concatenation that is added)
    ties their counts, and these tie other layers: each such cluster is an integer program.
    """

    def __init__(self, analysis: Analysis, groups: Sequence[Group], multiple: int) -> None:
        """Of the groups that may lose channels."""
        self.multiple = multiple
        self._sizes = [len(group) for group in groups]
        owner = np.full(len(analysis.root), -1, np.int64)
        for number, group in enumerate(groups):
            owner[group.roots] = number
        self._layers = _layers(analysis, groups, owner)
        self._clusters = _clusters(self._layers, len(groups))

    def counts(self, wanted: Sequence[int], rounding: Rounding, weights: Sequence[float] | None = None) -> list[int]:
        """How many channels each group keeps.

        Args:
            wanted: how many it would keep without rounding.
            rounding: "up": never fewer than that, and few more; "nearest"; "least": few, whatever was wanted.
            weights: with "least", what a channel of each group costs.
        """
        found = list(wanted)
        for groups, layers in self._clusters:
            if len(groups) == 1:
                found[groups[0]] = self._alone(groups[0], layers, wanted[groups[0]], rounding)
            else:
                solved = self._together(groups, layers, wanted, rounding, weights)
                for group, count in zip(groups, solved, strict=True):
                    found[group] = count
        return found

    def _alone(self, group: int, layers: Sequence[Layer], wanted: int, rounding: Rounding) -> int:
        fit = [n for n in range(self._sizes[group] + 1) if all(layer.accepts({group: n}, self.multiple) for layer in layers)]
        if rounding == "up":
            return min(n for n in fit if n >= wanted)
        return min(fit, key=lambda n: (n,) if rounding == "least" else (abs(n - wanted), -n))

    def _together(
        self,
        groups: Sequence[int],
        layers: Sequence[Layer],
        wanted: Sequence[int],
        rounding: Rounding,
        weights: Sequence[float] | None,
    ) -> list[int]:
        """Integers n (kept), d (distance), k (multiples of a layer), f (a layer keeps all) of least sum of n or d, with

        others + sum(members n) = multiple k + rest f,   others + sum(members n) >= max(size f, 1),   d >= |n - wanted|.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp

        count, number = len(groups), len(layers)
        width = 2 * count + 2 * number
        rows: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        low: list[float] = []
        high: list[float] = []
        place = {group: index for index, group in enumerate(groups)}
        for index, layer in enumerate(layers):
            row = np.zeros(width)
            for group, each in layer.members.items():
                row[place[group]] = each
            at_least = row.copy()
            row[2 * count + index], row[2 * count + number + index] = -self.multiple, -(layer.size % self.multiple)
            at_least[2 * count + number + index] = -layer.size
            rows += [row, at_least, np.where(np.arange(width) < count, at_least, 0)]
            low += [-layer.others, -layer.others, 1 - layer.others]
            high += [-layer.others, np.inf, np.inf]
        for index, group in enumerate(groups):
            for sign in (1, -1):
                row = np.zeros(width)
                row[index], row[count + index] = sign, -1
                rows.append(row)
                low.append(-np.inf)
                high.append(sign * wanted[group])
        cost = np.zeros(width)
        if rounding == "nearest":
            cost[count : 2 * count] = 1.0
            cost[:count] = -1e-4  # of two as near, the larger
        else:
            cost[:count] = 1.0 if rounding == "up" or weights is None else np.array([max(weights[g], 1e-9) for g in groups])
            cost[:count] /= cost[:count].max()
        sizes = np.array([self._sizes[group] for group in groups], float)
        first = np.array([wanted[group] for group in groups], float) if rounding == "up" else np.zeros(count)
        bounds = Bounds(
            np.concatenate([first, np.zeros(count + 2 * number)]),
            np.concatenate([sizes, sizes, np.full(number, np.inf), [float(x.size % self.multiple > 0) for x in layers]]),
        )
        constraints = LinearConstraint(np.array(rows), np.array(low), np.array(high))
        solved = milp(cost, constraints=constraints, integrality=np.ones(width), bounds=bounds, options={"time_limit": 2.0})
        return [self._sizes[group] for group in groups] if solved.x is None else [round(n) for n in solved.x[:count]]


def _layers(analysis: Analysis, groups: Sequence[Group], owner: Labels) -> list[Layer]:
    """Of every axis that makes channels of these groups, as far as all channels of a group count alike there."""
    found: dict[bytes, Layer] = {}
    for place in (place for group in groups for place in group.made):
        roots = analysis.roots(place.value, place.axis)
        if roots.tobytes() in found:
            continue
        numbers = owner[roots]
        present = [int(number) for number in np.unique(numbers) if number >= 0]
        members = {number: int(np.count_nonzero(numbers == number)) for number in present}
        if all(members[number] % len(groups[number]) == 0 for number in present):
            each = {number: members[number] // len(groups[number]) for number in present}
            found[roots.tobytes()] = Layer(each, int(np.count_nonzero(numbers < 0)), len(roots))
    return list(found.values())


def _clusters(layers: Sequence[Layer], count: int) -> list[tuple[list[int], list[Layer]]]:
    """Groups that are tied by layers, with these."""
    parent = list(range(count))

    def root(group: int) -> int:
        while parent[group] != group:
            group = parent[group]
        return group

    for layer in layers:
        first, *others = layer.members
        for other in others:
            parent[root(other)] = root(first)
    found: dict[int, tuple[list[int], list[Layer]]] = {}
    for layer in layers:
        found.setdefault(root(next(iter(layer.members))), ([], []))[1].append(layer)
    for group in range(count):
        if root(group) in found:
            found[root(group)][0].append(group)
    return list(found.values())
