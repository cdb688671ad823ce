"""Dependency groups: the channels that are ranked against each other, and where each of them has weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgekit.compress.prune.analysis import Analysis, name_of
from edgekit.compress.prune.atoms import Labels
from edgekit.ir import Value


@dataclass(frozen=True)
class Place:
    """An axis of a constant along which channels of a group lie: ``index`` are their indices there, ``channel`` their places in
    the group.
    """

    value: Value
    axis: int
    index: Labels
    channel: Labels
    makes: bool  # the op makes the channels here: a convolution's outputs, not its inputs


@dataclass(frozen=True)
class Group:
    """Channels (classes that go together) of one set of layers. ``places`` are all constants that hold part of them."""

    name: str
    roots: Labels
    places: tuple[Place, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def made(self) -> tuple[Place, ...]:
        """Where the channels are made."""
        return tuple(place for place in self.places if place.makes)


def find_groups(analysis: Analysis) -> list[Group]:
    """All groups with a channel that may go, in the order of the graph. A group with one channel has nothing to choose from.

    The channels of a group are made by the same layers (several, where a residual add or a gate ties them), so their scores
    compare. Of a tensor of which half takes part in an add, the halves are two groups.
    """
    axes = [(value, axis, roots) for value, axis, roots in analysis.labelled() if value.is_constant and value.type.is_float]
    made = [(v, axis, roots) for v, axis, roots in axes if (id(v), axis) in analysis.coupling.made]
    covered = set(np.concatenate([roots for *_, roots in made]).tolist()) if made else set()
    for value, axis, roots in axes:  # raw parameters and padded channels: nothing makes them
        if value.is_trainable and not covered.issuperset(roots[analysis.is_free[roots]].tolist()):
            made.append((value, axis, roots))
            covered.update(roots.tolist())
    makers: dict[int, list[int]] = {}
    for number, (_, _, roots) in enumerate(made):
        for root in dict.fromkeys(roots[analysis.is_free[roots]].tolist()):
            makers.setdefault(root, []).append(number)
    members: dict[tuple[int, ...], list[int]] = {}
    for root, numbers in makers.items():
        members.setdefault(tuple(numbers), []).append(root)
    group_of = np.full(len(analysis.root), -1, np.int64)
    channel_of = np.zeros(len(analysis.root), np.int64)
    for number, found in enumerate(members.values()):
        group_of[found], channel_of[found] = number, np.arange(len(found))
    places: list[list[Place]] = [[] for _ in members]
    is_made = {(id(v), axis) for v, axis, _ in made}
    for value, axis, roots in axes:
        numbers_here = group_of[roots]
        order = np.argsort(numbers_here, kind="stable")
        starts = np.flatnonzero(np.diff(numbers_here[order])) + 1
        for index in np.split(order, starts):
            if (number := int(numbers_here[index[0]])) >= 0:
                places[number].append(Place(value, axis, index, channel_of[roots[index]], (id(value), axis) in is_made))
    names = name_of(analysis.graph)
    return [
        Group(names[id(next(p for p in here if p.makes).value)], np.array(found, np.int64), tuple(here))
        for found, here in zip(members.values(), places, strict=True)
    ]


def limits(analysis: Analysis) -> list[Labels]:
    """Sets of classes of which one must stay: those along one axis of some value, where all of them may go."""
    found: dict[bytes, Labels] = {}
    for _, _, roots in analysis.labelled():
        if analysis.is_free[roots].all():
            classes = np.unique(roots)
            found.setdefault(classes.tobytes(), classes)
    return sorted(found.values(), key=len)
