"""The cheapest choice of one option per variable, exactly, by variable elimination.

The cost of a choice is a sum of factors, each a table over a few variables. To eliminate a variable, all factors that
mention it are added into one table over their variables, and the minimum over the variable is what remains of them
(dynamic programming on the factor graph; Bertelè & Brioschi 1972, *Nonserial Dynamic Programming*). Networks are chains
with short cuts, so the tables stay small. Where one would not, the variable in most factors is decided first, for what
is cheapest in each factor alone; only then can the result be other than optimal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

#: Entries of the largest table.
LARGEST_TABLE = 1 << 18


@dataclass(frozen=True)
class Factor:
    """A cost that depends on some variables: ``table[option of scope[0], option of scope[1], ...]``."""

    scope: tuple[int, ...]
    table: NDArray[np.float64]


@dataclass(frozen=True)
class _Decision:
    """The best option of a variable for each choice of the variables in ``scope``."""

    variable: int
    scope: tuple[int, ...]
    best: NDArray[np.intp]


def cheapest(sizes: Sequence[int], factors: Sequence[Factor]) -> list[int]:
    """The option of each variable, of ``sizes[v]`` options, in the cheapest choice. Ties go to the lower option."""
    of = _Factors(len(sizes), factors)
    scopes = {variable: of.scope(variable) for variable in range(len(sizes))}
    queue = [(_entries(scope, sizes), variable) for variable, scope in scopes.items()]
    heapify(queue)
    decisions: list[_Decision] = []
    while scopes:
        entries, variable = heappop(queue)
        if variable not in scopes or entries != _entries(scopes[variable], sizes):
            continue  # it was decided, or entered again when its neighbours changed
        if entries > LARGEST_TABLE:
            heappush(queue, (entries, variable))
            variable = max(scopes, key=lambda v: (len(of.by_variable[v]), -v))
            rest = tuple(v for v in scopes[variable] if v != variable)
            mine = of.take(variable)
            option = _cheapest_alone(variable, sizes[variable], mine)
            decisions.append(_Decision(variable, (), np.array(option)))
            of.put([_condition(factor, variable, option) for factor in mine])
        else:
            rest = tuple(v for v in scopes[variable] if v != variable)
            joined = _join((variable, *rest), of.take(variable), sizes)
            decisions.append(_Decision(variable, rest, joined.argmin(0)))
            of.put([Factor(rest, np.asarray(joined.min(0)))])
        del scopes[variable]
        for neighbour in rest:
            scopes[neighbour] = of.scope(neighbour)
            heappush(queue, (_entries(scopes[neighbour], sizes), neighbour))
    chosen = [0] * len(sizes)
    for decision in reversed(decisions):
        chosen[decision.variable] = int(decision.best[tuple(chosen[v] for v in decision.scope)])
    return chosen


class _Factors:
    """The factors that remain, found by variable."""

    def __init__(self, variables: int, factors: Sequence[Factor]) -> None:
        self.by_variable: list[list[Factor]] = [[] for _ in range(variables)]
        self.put(factors)

    def put(self, factors: Sequence[Factor]) -> None:
        for factor in factors:
            for variable in factor.scope:
                self.by_variable[variable].append(factor)

    def take(self, variable: int) -> list[Factor]:
        """The factors that mention a variable, taken out."""
        taken = self.by_variable[variable]
        ids = {id(factor) for factor in taken}
        for neighbour in {v for factor in taken for v in factor.scope}:
            self.by_variable[neighbour] = [f for f in self.by_variable[neighbour] if id(f) not in ids]
        return taken

    def scope(self, variable: int) -> tuple[int, ...]:
        """The variables that a table without this one would depend on, and this one."""
        return tuple(sorted({v for factor in self.by_variable[variable] for v in factor.scope} | {variable}))


def _entries(scope: Sequence[int], sizes: Sequence[int]) -> int:
    count = 1
    for variable in scope:
        count *= sizes[variable]
    return count


def _join(scope: tuple[int, ...], factors: Sequence[Factor], sizes: Sequence[int]) -> NDArray[np.float64]:
    """The sum of factors as one table over ``scope``."""
    total = np.zeros([sizes[v] for v in scope])
    for factor in factors:
        order = sorted(range(len(factor.scope)), key=lambda place: scope.index(factor.scope[place]))
        table = factor.table.transpose(order)
        total += table.reshape([sizes[v] if v in factor.scope else 1 for v in scope])
    return total


def _cheapest_alone(variable: int, size: int, factors: Sequence[Factor]) -> int:
    """The option with the lowest sum over the factors, each at its best for that option."""
    total = np.zeros(size)
    for factor in factors:
        if variable in factor.scope:
            place = factor.scope.index(variable)
            total += factor.table.min(tuple(axis for axis in range(factor.table.ndim) if axis != place))
    return int(total.argmin())


def _condition(factor: Factor, variable: int, option: int) -> Factor:
    if variable not in factor.scope:
        return factor
    place = factor.scope.index(variable)
    return Factor(tuple(v for v in factor.scope if v != variable), np.asarray(factor.table.take(option, place)))
