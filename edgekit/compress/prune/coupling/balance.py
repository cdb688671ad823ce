"""Layers in groups that only count: every group must keep as many channels, whichever they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.coupling.context import Coupling

#: For each class, how many of its channels lie in each group.
Counts = NDArray[np.int64]


def settle(c: Coupling) -> None:
    """Joins classes until any of them may go and every group still keeps as many channels.

    A grouped convolution's outputs, say: a class with one channel of every group is fine as it is (a channel shuffle makes
    such classes), one with a channel of the first group alone needs partners in the others. Run when all other joins are
    made, so that classes are joined no more than they must be: sums of balanced classes are balanced, and so what one layer
    joins never spoils what another has settled.
    """
    for labels, groups, place in c.balanced:
        c.place = place
        _settle(c, labels, groups)
    c.place = ""


def _settle(c: Coupling, labels: Labels, groups: int) -> None:
    free = np.flatnonzero(c.atoms.free(labels))
    roots, first, inverse = np.unique(c.atoms.roots(labels[free]), return_index=True, return_inverse=True)
    counts = np.zeros((len(roots), groups), np.int64)
    np.add.at(counts, (inverse, free // (len(labels) // groups)), 1)
    counts -= counts.min(1, keepdims=True, initial=len(labels))
    lopsided = np.flatnonzero(counts.any(1))
    lopsided = lopsided[np.argsort(first[lopsided])]
    roots, counts = roots[lopsided], counts[lopsided]
    if len(roots) and (counts.sum(1) == 1).all():
        left = _join_singles(c, roots, counts)
    else:
        left = _join_sets(c, roots, counts)
    if len(left):
        c.fix(left, "every group keeps as many channels")


def _join_singles(c: Coupling, roots: Labels, counts: Counts) -> Labels:
    """Class k of every group goes with class k of the others; returns those without partners."""
    columns = [roots[counts[:, group] == 1] for group in range(counts.shape[1])]
    shared = min(len(column) for column in columns)
    for column in columns[1:]:
        c.join(columns[0][:shared], column[:shared])
    return np.concatenate([column[shared:] for column in columns])


def _join_sets(c: Coupling, roots: Labels, counts: Counts) -> Labels:
    """Sets of classes whose counts add up to as many in every group, found greedily; returns what is left over."""
    vectors, kind = np.unique(counts, axis=0, return_inverse=True)
    waiting = [roots[kind.reshape(-1) == k].tolist()[::-1] for k in range(len(vectors))]
    left: list[int] = []
    while any(waiting):
        total, members = np.zeros(counts.shape[1], np.int64), list[int]()
        while not members or total.min() < total.max():
            there = [k for k, classes in enumerate(waiting) if classes]
            if not there:
                left += members
                break
            best = there[int(np.argmin((total + vectors[there]).var(1)))]
            members.append(waiting[best].pop())
            total = total + vectors[best]
        else:
            c.join(np.full(len(members) - 1, members[0]), np.array(members[1:], np.int64))
    return np.array(left, np.int64)
