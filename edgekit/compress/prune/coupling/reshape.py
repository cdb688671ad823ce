"""Reshapes: of the axes that are merged or split, one on each side carries the channels."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from edgekit.compress.prune.atoms import Atoms, Labels
from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import BATCH, Coupling, stays
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Batch, Dim, N, Node, ops
from edgekit.ir.ops import Op

#: Stands for N when axes are matched: no product of other sizes equals one with it.
_PRIME = 1_000_003


@couples(ops.Reshape)
def reshape(node: Node, c: Coupling) -> None:
    """Element e lies at index a(e) of the carrying axis before and b(e) after: a(e) and b(e) go together.

    Both sides then lose the same elements and keep the order of the rest, so the smaller reshape is exact. Axes that do not
    carry stay. Where several axes could, ``ways`` orders them and the analysis tries the next if nothing comes of the first.
    """
    x, out = node.input(0), node.output
    rows: list[Labels] = [stays(d) if isinstance(d, int) else BATCH for d in out.shape]
    for number, (before, after) in enumerate(segments(x.shape, out.shape)):
        if len(before) == len(after) == 1:
            rows[after[0]] = c.axis(x, before[0])
            continue
        _carry(node, c, number, before, after, rows)
    c.label(out, rows)


@shrinks(ops.Reshape)
def reshape_shape(change: Change) -> Op:
    """The sizes that are left."""
    return change.op.with_(shape=change.new_shape(change.old.output))


def segments(before: tuple[Dim, ...], after: tuple[Dim, ...]) -> list[tuple[list[int], list[int]]]:
    """Shortest runs of axes with equal products, without axes of size 1.

    ``segments((N, 6, 4, 5), (N, 24, 5)) == [([0], [0]), ([1, 2], [1]), ([3], [2])]``
    """
    left = [i for i, d in enumerate(before) if d != 1]
    right = [i for i, d in enumerate(after) if d != 1]
    found: list[tuple[list[int], list[int]]] = []
    while left or right:
        a, b = [left.pop(0)], [right.pop(0)]
        while (p := prod(_number(before[i]) for i in a)) != (q := prod(_number(after[i]) for i in b)):
            if p < q:
                a.append(left.pop(0))
            else:
                b.append(right.pop(0))
        found.append((a, b))
    return found


def _number(dim: Dim) -> int:
    return dim.multiple * _PRIME if isinstance(dim, Batch) else dim


def _carry(node: Node, c: Coupling, number: int, before: list[int], after: list[int], rows: list[Labels]) -> None:
    x, out = node.input(0), node.output
    free = [i for i in before if c.has_free(c.axis(x, i))]
    ways = _ways(node, c, before, after, free)
    why = "the axes that are merged or split here cannot all lose channels"
    way = None
    if len(ways) == 1:
        way = ways[0]
    elif ways:
        way = ways[c.choose(number, len(ways), np.concatenate([c.axis(x, i) for i in free]))]
    for i in before:
        if way is None or i != way[0]:
            c.fix(c.axis(x, i), why)
    for j in after:
        if not isinstance(out.shape[j], Batch) and (way is None or j != way[1]):
            size = period(out.shape[j])
            rows[j] = c.stuck(size, why) if free else stays(size)
    if way is not None:
        i, j = way
        a, b = _pairs(x.shape, before, i, out.shape, after, j)
        labels = c.atoms.fresh(period(out.shape[j]))
        c.join(labels[b], c.axis(x, i)[a])
        rows[j] = labels


def _ways(node: Node, c: Coupling, before: list[int], after: list[int], free: list[int]) -> list[tuple[int, int]]:
    """Pairs of axes that could carry, best first: those that leave more than one class of channels."""
    x, out = node.input(0), node.output
    targets = [j for j in after if out.shape[j] != N]
    found: dict[tuple[int, int], int] = {}
    for i, j in product(free, targets):
        a, b = _pairs(x.shape, before, i, out.shape, after, j)
        classes = _classes(a, b, period(x.shape[i]), period(out.shape[j]))
        if classes > 1:
            found[i, j] = classes
    heads = len(after) > 1 and after[-1] == out.type.rank - 1 and x.type.rank > 2

    def order(way: tuple[int, int]) -> tuple[bool, int, int, int]:
        return isinstance(out.shape[way[1]], Batch), *likelier(way)

    def likelier(way: tuple[int, int]) -> tuple[int, int, int]:
        i, j = way
        channels = -int(c.atoms.free(c.axis(x, i)).sum())
        if heads:  # (B, T, 3 * heads * width) to (B, T, 3, heads, width): heads go first
            return channels, abs(after.index(j) - (len(after) - 2)), -found[way]
        if x.type.rank == 2:  # (B, C * H * W) to (B, C, H, W)
            return channels, j, 0
        return channels, -found[way], j

    return sorted(found, key=order)


def _pairs(
    before: tuple[Dim, ...], left: list[int], i: int, after: tuple[Dim, ...], right: list[int], j: int
) -> tuple[Labels, Labels]:
    """The different pairs (a(e), b(e)) of a segment's elements, at batch 2; along a batch axis those of one sample count."""
    sizes = [_at_two(before[k]) for k in left]
    shape = [_at_two(after[k]) for k in right]
    elements = np.arange(prod(sizes))
    a = elements // prod(sizes[left.index(i) + 1 :]) % sizes[left.index(i)] % period(before[i])
    b = elements // prod(shape[right.index(j) + 1 :]) % shape[right.index(j)] % period(after[j])
    width = period(after[j])
    pairs = np.unique(a * width + b)
    return pairs // width, pairs % width


def period(dim: Dim) -> int:
    """Indices of an axis, for each sample where it is a multiple of the batch."""
    return dim.multiple if isinstance(dim, Batch) else dim


def _at_two(dim: Dim) -> int:
    return dim.multiple * 2 if isinstance(dim, Batch) else dim


def _classes(a: Labels, b: Labels, size: int, width: int) -> int:
    """How many classes are left when a and b go together."""
    atoms = Atoms()
    left, right = atoms.fresh(size), atoms.fresh(width)
    atoms.join(left[a], right[b], "")
    return len(np.unique(atoms.roots(left)))
