"""Of which earlier array one is a part, if of any. What is found is exact: it has been multiplied out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.packing.cutting import MOST_RUNS, Cut, Selection, multiplied, part
from edgekit.packing.layout import Array

#: Arrays of fewer bytes are not looked at.
_LEAST = 16

#: Lines that a first look compares; of all lines at most this share may stand as they are.
_LOOKED_AT = 3
_APART = 0.25


class Earlier:
    """The arrays that others may be parts of, and what was taken of them so far."""

    def __init__(self, data: bytes, arrays: list[Array]) -> None:
        """The candidates, in the order of the file."""
        self._data, self._arrays = data, arrays
        self._seen: list[Selection] = []

    def find(self, array: Array, position: int) -> Cut | None:
        """What an array is a part of; None where it is of nothing.

        Args:
            array: it stands behind all candidates.
            position: among the arrays of its own file: where it is likely to be found.
        """
        if array.bits not in (8, 32) or array.size < _LEAST or array.role != "weights":
            return None
        target = _matrix(self._data, array)
        fit = [
            (abs(number - position), other)
            for number, other in enumerate(self._arrays)
            if other.bits == array.bits
            and other.size >= array.size
            and other.columns >= array.columns
            and other.role == "weights"
        ]
        for _, other in sorted(fit, key=lambda each: each[0]):
            source = _matrix(self._data, other)
            if target is None or source is None or len(source) < len(target):
                continue
            for by_column in (False, True):
                if (cut := self._cut(target, source, other, by_column)) is not None:
                    self._seen = [cut.rows, cut.columns, *(s for s in self._seen if s not in (cut.rows, cut.columns))]
                    return cut
        return None

    def _cut(self, target: NDArray[Any], source: NDArray[Any], other: Array, by_column: bool) -> Cut | None:
        for columns in self._axis(target.shape[1], source.shape[1], other.period):
            for rows in self._axis(target.shape[0], source.shape[0], 0):
                found = _factors(target, source, rows, columns, by_column)
                if found is not None:
                    return Cut(other.start, rows, columns, by_column, found.tobytes())
            if target.dtype == np.uint8 and not by_column and (greedy := _rows(target, source, columns)) is not None:
                found = _factors(target, source, greedy, columns, by_column)
                if found is not None:
                    return Cut(other.start, greedy, columns, by_column, found.tobytes())
        return None

    def _axis(self, count: int, extent: int, period: int) -> Iterator[Selection]:
        """What may have been taken of an axis: all, the first ones of every stretch, or what was taken of another."""
        if count == extent:
            yield Selection((count,))
            return
        stretches = [n for n in range(1, extent + 1) if extent % n == 0 and count * n % extent == 0]
        for stretch in sorted(stretches, key=lambda n: (n != period, n != extent, -n)):
            first = count * stretch // extent
            yield Selection((first, stretch - first), extent // stretch)
        yield from (s for s in self._seen if s.count == count and s.extent == extent)


def _matrix(data: bytes, array: Array) -> NDArray[Any] | None:
    kind = "<u1" if array.bits == 8 else "<f4"
    numbers = np.frombuffer(data, kind, array.size * 8 // array.bits, array.start)
    return numbers.reshape(-1, array.columns) if array.columns and len(numbers) % array.columns == 0 else None


def _factors(
    target: NDArray[Any], source: NDArray[Any], rows: Selection, columns: Selection, by_column: bool
) -> NDArray[Any] | None:
    """A factor for each line, 0 for those that have none; None where that is more than a few."""
    at, across = rows.indices(), columns.indices()
    lines, others = (target.T, source[np.ix_(at, across)].T) if by_column else (target, source[np.ix_(at, across)])
    few = slice(0, _LOOKED_AT)
    if not _of_lines(lines[few], others[few]).any():
        return None
    found = _of_lines(lines, others)
    return found if np.count_nonzero(found) >= (1 - _APART) * len(found) else None


def _of_lines(target: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    if target.dtype == np.uint8:
        plus, minus = (target == source).all(1), (target == (-source.astype(np.int16)).astype(np.uint8)).all(1)
        return np.where(plus, 1, np.where(minus, 255, 0)).astype(np.uint8)
    return _float_factors(target, source)


def _float_factors(target: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    """For each line the float32 number whose products, rounded, are the target; 0 where there is none."""
    largest = np.abs(source).argmax(1)[:, None]
    with np.errstate(all="ignore"):
        tops = [np.take_along_axis(each, largest, 1)[:, 0].astype(np.float32) for each in (target, source)]
        guess = tops[0] / tops[1]
        near = [guess]
        for _ in range(2):
            near = [np.nextafter(near[0], np.float32(0)), *near, np.nextafter(near[-1], np.float32(np.inf) * np.sign(guess))]
    found = np.zeros(len(target), np.float32)
    for factor in near[::-1]:
        same = multiplied(source, factor, False).view(np.uint32) == np.ascontiguousarray(target).view(np.uint32)
        exact = same.all(1) & np.isfinite(factor) & (factor != 0)
        found = np.where(exact, factor, found).astype(np.float32)
    return found


def _rows(target: NDArray[Any], source: NDArray[Any], columns: Selection) -> Selection | None:
    """The rows of the source that the target's are, in order; None where some are not there."""
    mine, theirs = _unsigned(target), _unsigned(source[:, columns.indices()])
    at, found = 0, []
    places = [row.tobytes() for row in theirs]
    for row in mine:
        wanted = row.tobytes()
        while at < len(places) and places[at] != wanted:
            at += 1
        if at == len(places):
            return None
        found.append(at)
        at += 1
    flags = np.zeros(len(places), np.bool_)
    flags[found] = True
    edges = np.flatnonzero(np.diff(flags.astype(np.int8))) + 1
    runs = np.diff([0, *edges.tolist(), len(flags)]).tolist()
    runs = runs if flags[0] else [0, *runs]
    return Selection(tuple(runs)) if len(runs) <= MOST_RUNS else None


def _unsigned(rows: NDArray[Any]) -> NDArray[np.int8]:
    """Rows whose first number that is not zero is positive."""
    signed = rows.view(np.int8)
    first = (signed != 0).argmax(1)[:, None]
    return np.where(np.take_along_axis(signed, first, 1) < 0, -signed, signed).astype(np.int8)


__all__ = ["Earlier", "part"]
