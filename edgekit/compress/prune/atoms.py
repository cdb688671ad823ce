"""Union-find over channels: what must be removed together, what must stay, and why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Atoms of the indices of one axis, in order.
Labels = NDArray[np.int64]

#: The label of an index that stays and never was a channel (a position, the only element of an axis).
STAYS = 0


class Atoms:
    """Atoms (numbers from 1) in classes. A class that has a reason is fixed: none of its atoms may be removed.

    Arrays are joined at once; find is vectorised with path halving, so the cost grows with the number of different pairs
    (Tarjan 1975).
    """

    def __init__(self) -> None:
        self._parent: Labels = np.zeros(1024, np.int64)
        self._fixed = np.zeros(1024, np.bool_)
        self._fixed[STAYS] = True
        self._count = 1
        self._reasons: dict[int, str] = {}

    @property
    def count(self) -> int:
        """Number of atoms, with the one that stays."""
        return self._count

    def fresh(self, count: int) -> Labels:
        """New atoms, each in a class of its own."""
        start, self._count = self._count, self._count + count
        if self._count > len(self._parent):
            size = max(2 * len(self._parent), self._count)
            self._parent = np.resize(self._parent, size)
            self._fixed = np.concatenate([self._fixed, np.zeros(size - len(self._fixed), np.bool_)])
        atoms = np.arange(start, self._count)
        self._parent[start : self._count] = atoms
        self._fixed[start : self._count] = False
        return atoms

    def roots(self, atoms: Labels) -> Labels:
        """For each atom, the one that stands for its class."""
        found = self._parent[atoms]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[atoms] = found
        return found

    def join(self, first: Labels, second: Labels, reason: str) -> None:
        """Element i of both go together; where one of them only stays, the other is fixed for this reason."""
        a, b = self.roots(first), self.roots(second)
        differ = a != b
        for x, y in zip(a[differ].tolist(), b[differ].tolist(), strict=True):
            if x == STAYS or y == STAYS:
                self._fix(x or y, reason)
                continue
            x, y = self._find(x), self._find(y)
            if x == y:
                continue
            if self._fixed[x]:
                x, y = y, x  # the fixed root stays a root, with its reason
            self._parent[x] = y

    def fix(self, atoms: Labels, reason: str) -> None:
        """The classes of these atoms stay. A class keeps the first reason it was given."""
        for root in np.unique(self.roots(atoms)).tolist():
            if root != STAYS:
                self._fix(root, reason)

    def free(self, atoms: Labels) -> NDArray[np.bool_]:
        """Which of these atoms may be removed."""
        return np.logical_not(self._fixed[self.roots(atoms)])

    def reason(self, atom: int) -> str:
        """Why an atom stays; empty for one that may go or never was a channel."""
        return self._reasons.get(int(self.roots(np.array([atom]))[0]), "")

    def _find(self, atom: int) -> int:
        while (above := int(self._parent[atom])) != atom:
            self._parent[atom] = self._parent[above]
            atom = above
        return atom

    def _fix(self, atom: int, reason: str) -> None:
        root = self._find(atom)
        if not self._fixed[root]:
            self._fixed[root] = True
            self._reasons[root] = reason
