"""The model of weights: a matrix of symbols, most of which may be one and the same (a pruned zero).

For each place it first says whether the symbol is the common one. What tells: how often it was not in this column, in this
row, in the columns around (in both directions of an image whose rows are ``period`` apart), and which of the places around are
not. Any other symbol follows bit by bit, highest first, with those before it in its row, in its column, beside and above it as
contexts: neighbouring weights are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.packing.coder import Coder
from edgekit.packing.logistic import ROOTS, STRETCH
from edgekit.packing.mixing import Mixer

_DENSITIES = 25  # steps of a density's square root
_SHARES = 17
_VALUES = 18  # 0 for none, and up to 17 groups of symbols


@dataclass(frozen=True)
class Matrix:
    """The shape of what is coded.

    Attributes:
        count: of elements; the last row may be short.
        columns: of a row, at least 1.
        period: columns between a place and the one above it, at least 1.
        symbols: how many there are, from 2 to 256.
        common: the one that the first decision is about.
    """

    count: int
    columns: int
    period: int
    symbols: int
    common: int

    @property
    def bits(self) -> int:
        """Decisions that tell which of the other symbols it is."""
        return max((self.symbols - 2).bit_length(), 1)


def code_symbols(
    coder: Coder, matrix: Matrix, symbols: Sequence[int] | None, check: Callable[[], None] | None = None
) -> list[int]:
    """Codes a matrix, row by row.

    Args:
        coder: bits go there or come from there.
        matrix: its shape.
        symbols: to encode; None when decoding.
        check: called after each row.
    """
    out: list[int] = []
    model = _Model(coder, matrix)
    columns = matrix.columns
    for start in range(0, matrix.count, columns):
        width = min(columns, matrix.count - start)
        out += model.row(None if symbols is None else symbols[start : start + width], width)
        if check is not None:
            check()
    return out


class _Model:
    """What was learnt from the rows so far."""

    def __init__(self, coder: Coder, matrix: Matrix) -> None:
        self.matrix = matrix
        columns = matrix.columns
        self.bits = matrix.bits
        self.group = max(self.bits - 4, 0)
        self.spread = 1 + columns
        self.around = self.spread + 2048
        slots = self.around + _DENSITIES * _SHARES
        self.flags = Mixer(coder, slots + 1, 5, 16, direct=4, start=13107, rate=4, limit=1000)
        nodes = 1 << self.bits
        self.table = nodes * _VALUES
        looks = nodes + 4 * self.table + nodes * _DENSITIES
        self.values = Mixer(coder, looks, 6, 4 * self.bits, direct=0, start=10922, rate=100, limit=1000)
        self.rows = 0
        self.counts = [0] * columns  # how often a column's symbol was not the common one
        self.before = [0] * columns  # the last three flags of a column
        self.lowest = [0] * columns  # the last other symbol of a column, by group, 0 for none

    def row(self, symbols: Sequence[int] | None, width: int) -> list[int]:
        """Codes the next row of ``width`` symbols."""
        period, common, group = self.matrix.period, self.matrix.common, self.group
        counts, before, lowest, flags = self.counts, self.before, self.lowest, self.flags
        near, wide = _sums(counts, period)
        seen = self.rows + 1
        row_slot = self.around + _DENSITIES * _SHARES
        flags.forget(row_slot)  # each row has a slot of its own
        groups = [0] * (period + 1 + width)  # 0 for the common symbol; behind period + 1 places that are none
        out: list[int] = []
        others = last = history = 0
        for column in range(width):
            above, left = groups[column + 1], groups[column + period]
            around = (left > 0) + 2 * (above > 0) + 4 * (groups[column + 2] > 0 if period > 1 else 0) + 8 * (groups[column] > 0)
            density = ROOTS[min((2 * near[column] + 1) * 64 // seen, 576)]
            share = ROOTS[min((2 * others + 1) * 256 // (column + 1), 256)]
            places = (
                0,
                1 + column,
                self.spread + (before[column] * 16 + around) * 16 + history,
                self.around + density * _SHARES + share,
                row_slot,
            )
            direct = (
                STRETCH[min((2 * counts[column] + 1) * 2048 // seen, 4095)],
                STRETCH[min((2 * near[column] + 1) * 2048 // (9 * seen), 4095)],
                STRETCH[min((2 * wide[column] + 1) * 2048 // (25 * seen), 4095)],
                STRETCH[min((2 * others + 3) * 2048 // (column + 25), 4095)],
            )
            flag = flags.code(places, around, 0 if symbols is None else int(symbols[column] != common), direct)
            history = (history << 1 | flag) & 15
            before[column] = (before[column] << 1 | flag) & 7
            if not flag:
                out.append(common)
                continue
            others += 1
            counts[column] += 1
            given = 0 if symbols is None else symbols[column] - (symbols[column] > common)
            value = self._value(given, (last, lowest[column], left, above), density, around & 3)
            last = lowest[column] = groups[column + period + 1] = 1 + (value >> group)
            out.append(value + (value >= common))
        self.rows += 1
        return out

    def _value(self, given: int, contexts: tuple[int, int, int, int], density: int, around: int) -> int:
        """Codes which of the other symbols it is."""
        base, table = 1 << self.bits, self.table
        node = 1
        for place in range(self.bits - 1, -1, -1):
            at = base + node * _VALUES
            last, lowest, left, above = contexts
            places = (
                node,
                at + last,
                at + table + lowest,
                at + 2 * table + left,
                at + 3 * table + above,
                base + 4 * table + node * _DENSITIES + density,
            )
            node = 2 * node + self.values.code(places, 4 * place + around, given >> place & 1)
        return node - base


def _sums(counts: list[int], period: int) -> tuple[list[int], list[int]]:
    """For each column the sums over the 3 x 3 and the 5 x 5 columns around it; what lies outside counts 0."""
    three = [a + b + c for a, b, c in zip(_moved(counts, 1), counts, _moved(counts, -1), strict=True)]
    five = [a + b + c for a, b, c in zip(_moved(counts, 2), three, _moved(counts, -2), strict=True)]
    near = [a + b + c for a, b, c in zip(_moved(three, period), three, _moved(three, -period), strict=True)]
    rows = [_moved(five, shift * period) for shift in (-2, -1, 0, 1, 2)]
    return near, [sum(column) for column in zip(*rows, strict=True)]


def _moved(numbers: list[int], by: int) -> list[int]:
    """The numbers ``by`` places further right, zeros where none comes."""
    if abs(by) >= len(numbers):
        return [0] * len(numbers)
    return [0] * by + numbers[: len(numbers) - by] if by >= 0 else numbers[-by:] + [0] * -by
