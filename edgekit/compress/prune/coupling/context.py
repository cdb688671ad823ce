"""The labels of every value, axis by axis, and the ways in which an op may join them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.compress.prune.atoms import STAYS, Atoms, Labels
from edgekit.ir import Batch, Node, Value
from edgekit.ir.types import where_text

#: Labels of a batch axis: it has no indices of its own. One that was merged with channels, a multiple of N, has as many labels
#: as it has indices for each sample.
BATCH: Labels = np.zeros(0, np.int64)


def stays(size: int) -> Labels:
    """Labels of an axis of positions."""
    return np.full(size, STAYS, np.int64)


@dataclass
class Choice:
    """A node that could carry channels along several axes: how many ways there are, and the channels that it decides on."""

    ways: int
    atoms: Labels


@dataclass
class Coupling:
    """What the ops say about the values of one graph.

    ``axes[id(value)][i]`` labels the indices of axis i: equal roots go together. Constants get labels when an op first asks.
    ``made`` are the (constant, axis) pairs along which an op makes channels. ``choices`` picks one of the ways of a node
    (by its position and the segment); what there was to pick is in ``open``. ``balanced`` are channels in groups of which each
    must keep as many, with the number of groups and the place. ``grouped`` gives for a grouped convolution's weight (by id)
    what it reads, and the number of groups: its second axis has no labels, for every group may keep other inputs.
    """

    choices: Mapping[tuple[int, int], int] = field(default_factory=dict)
    atoms: Atoms = field(default_factory=Atoms)
    axes: dict[int, list[Labels | None]] = field(default_factory=dict)
    made: dict[tuple[int, int], Value] = field(default_factory=dict)
    open: dict[tuple[int, int], Choice] = field(default_factory=dict)
    balanced: list[tuple[Labels, int, str]] = field(default_factory=list)
    grouped: dict[int, tuple[Value, int]] = field(default_factory=dict)
    position: int = 0
    place: str = ""

    def enter(self, position: int, node: Node) -> None:
        """The node that speaks from now on; its place stands in reasons."""
        self.position = position
        self.place = f"'{node.op.name}' at {where_text(node.where)}" if node.where else f"'{node.op.name}' %{node.name}"

    # ------------------------------------------------------------------ reading

    def axis(self, value: Value, axis: int) -> Labels:
        """The labels of one axis (negative: from the end)."""
        axis %= value.type.rank
        rows = self.axes.setdefault(id(value), [None] * value.type.rank)
        labels = rows[axis]
        if labels is None:
            size = value.type.shape[axis]
            if isinstance(size, Batch):
                labels = BATCH
            else:
                labels = self.atoms.fresh(size) if value.is_constant and size > 1 else stays(size)
            rows[axis] = labels
        return labels

    def all_axes(self, value: Value) -> list[Labels]:
        """The labels of all axes."""
        return [self.axis(value, axis) for axis in range(value.type.rank)]

    def has_free(self, labels: Labels) -> bool:
        """Some of these channels may be removed."""
        return bool(len(labels)) and bool(self.atoms.free(labels).any())

    # ------------------------------------------------------------------ stating

    def label(self, value: Value, labels: Sequence[Labels]) -> None:
        """States the labels of a computed value."""
        rows: list[Labels | None] = []
        for size, row in zip(value.type.shape, labels, strict=True):
            if isinstance(size, Batch):
                rows.append(row if len(row) == size.multiple else BATCH)
            elif not len(row):
                rows.append(stays(size))  # a part of the batch
            elif size == 1:
                self.fix(row, "it is the only channel there")
                rows.append(stays(1))
            else:
                assert len(row) == size, f"{len(row)} labels for {size} indices of {value!r}"
                rows.append(row)
        self.axes[id(value)] = rows

    def close_batch(self, node: Node) -> None:
        """The op does the same to every index of a batch axis: channels that were merged with it stay."""
        for value in node.inputs:
            rows = self.axes.get(id(value), []) if value is not None else []
            for axis, row in enumerate(rows):
                if value is not None and row is not None and len(row) and isinstance(value.type.shape[axis], Batch):
                    self.fix(row, "channels were merged with the batch")
                    rows[axis] = BATCH

    def bind(self, value: Value, axis: int, labels: Labels) -> None:
        """An axis of an input has these labels."""
        axis %= value.type.rank
        rows = self.axes.setdefault(id(value), [None] * value.type.rank)
        if rows[axis] is None and value.is_constant and len(labels) > 1:
            rows[axis] = labels
        elif len(labels):
            self.join(self.axis(value, axis), labels)

    def join(self, first: Labels, second: Labels) -> None:
        """These go together, index by index."""
        self.atoms.join(first, second, f"{self.place} ties it to something that is not a channel")

    def balance(self, labels: Labels, groups: int) -> None:
        """Every group (equal stretches of these) keeps as many channels; settled when all else is known."""
        self.balanced.append((labels, groups, self.place))

    def fix(self, labels: Labels, why: str) -> None:
        """These stay."""
        self.atoms.fix(labels, f"{why}: {self.place}" if self.place else why)

    def fix_axes(self, value: Value, axes: Sequence[int], why: str) -> None:
        """All of these axes stay."""
        for axis in axes:
            self.fix(self.axis(value, axis), why)

    def makes(self, value: Value, axis: int) -> None:
        """The op makes channels along this axis of a weight."""
        if value.is_constant:
            self.made[id(value), axis % value.type.rank] = value

    def stuck(self, size: int, why: str) -> Labels:
        """Labels of an axis that stays, for a reason that reaches all it is joined with."""
        atom = self.atoms.fresh(1)
        self.fix(atom, why)
        return np.repeat(atom, size)

    def choose(self, segment: int, ways: int, atoms: Labels) -> int:
        """Which of several ways this node goes."""
        key = (self.position, segment)
        self.open[key] = Choice(ways, atoms)
        return self.choices.get(key, 0) % ways
