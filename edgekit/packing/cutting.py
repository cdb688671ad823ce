"""An array that is a part of an earlier one: some of its rows and columns, each row or column times a number of its own.

Weights of a smaller network within a larger one are so: bytes times 1 or -1, float32 times a float32, rounded to nearest even.
Rows that are nothing of the kind stand there as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.packing.channel import Channel
from edgekit.packing.damage import Damaged

#: Numbers that say what is taken of an axis, at most: the C decoder has room for so many.
MOST_RUNS = 64

#: How factors are written: all are 1; as text; as they are.
ONES, TEXT, RAW = range(3)

#: Bytes of factors above which they are no text.
_LONG = 2048


@dataclass(frozen=True)
class Selection:
    """Indices of an axis: elements are taken and passed over in turn, ``runs`` of them, and that so many times."""

    runs: tuple[int, ...]
    repeats: int = 1

    @property
    def count(self) -> int:
        """How many are taken."""
        return sum(self.runs[::2]) * self.repeats

    @property
    def extent(self) -> int:
        """Of how many."""
        return sum(self.runs) * self.repeats

    def indices(self) -> NDArray[np.intp]:
        """Those that are taken, in order."""
        flags = np.repeat(np.arange(len(self.runs)) % 2 == 0, self.runs)
        return np.flatnonzero(np.tile(flags, self.repeats))


@dataclass(frozen=True)
class Cut:
    """A part of an earlier array.

    Attributes:
        source: its first byte.
        rows: what is taken of its rows.
        columns: of its columns.
        by_column: each column has a factor, not each row.
        factors: one for each, of an element's width: 1 or 255 (-1) for bytes, float32 else; 0 for a line that stands as it is.
    """

    source: int
    rows: Selection
    columns: Selection
    by_column: bool = False
    factors: bytes = b""


def code_cut(channel: Channel, size: int, bits: int, given: bytes | None, form: Cut | None, before: bytes | bytearray) -> bytes:
    """Writes or reads such an array; arguments as in ``sections.code_array``.

    Raises:
        Damaged: what is read makes no sense.
    """
    if bits not in (8, 32):
        raise Damaged("a part of an array in it has elements that can't be multiplied")
    width = bits // 8
    form = form or Cut(0, Selection((0,)), Selection((0,)))
    source = channel.number(form.source, -1 if channel.along is None else channel.along.start())
    rows, columns = (_selection(channel, size, each) for each in (form.rows, form.columns))
    by_column = channel.below(2, int(form.by_column), what="a kind of part") == 1
    if rows.count * columns.count * width != size or source + rows.extent * columns.extent * width > len(before):
        raise Damaged("a part of an array in it is of numbers that are not there")
    lines = columns.count if by_column else rows.count
    factors = _factors(channel, lines, width, form.factors)
    taken = part(before, source, bits, rows, columns)
    out = multiplied(taken, factors, by_column)
    own = np.flatnonzero(factors.view(np.uint8).reshape(lines, width).any(1) == 0)
    if len(own):
        target = None if given is None else np.frombuffer(given, taken.dtype).reshape(out.shape)
        place = (slice(None), own) if by_column else (own, slice(None))
        content = channel.verbatim(out[place].size * width, None if target is None else target[place].tobytes())
        out[place] = np.frombuffer(content, taken.dtype).reshape(out[place].shape)
    return out.tobytes()


def part(data: bytes | bytearray, source: int, bits: int, rows: Selection, columns: Selection) -> NDArray[Any]:
    """The elements that are taken, (rows, columns): uint8 or float32."""
    kind = "<u1" if bits == 8 else "<f4"
    extent = rows.extent * columns.extent
    whole = np.frombuffer(data, kind, extent, source) if extent else np.zeros(0, kind)
    return whole.reshape(rows.extent, columns.extent)[np.ix_(rows.indices(), columns.indices())]


def multiplied(taken: NDArray[Any], factors: NDArray[Any], by_column: bool) -> NDArray[Any]:
    """Rows or columns times their factors.

    Float32 products that are next to nothing, or of numbers that are, become zeros with the product's sign, as in the C
    decoder; so do those that are too large.
    """
    by = factors[None, :] if by_column else factors[:, None]
    with np.errstate(all="ignore"):
        out = (taken * by).astype(taken.dtype)  # bytes wrap around
        if taken.dtype == np.uint8:
            return np.asarray(out)
        least = np.finfo(np.float32).tiny
        usual = [np.isfinite(x) & (np.abs(x) >= bound) for x, bound in ((taken, least), (by, least), (out, 2 * least))]
        zero = np.copysign(np.float32(0), taken) * np.copysign(np.float32(1), by)
    found: NDArray[Any] = np.where(usual[0] & usual[1] & usual[2], out, zero).astype(np.float32)
    return found


def _selection(channel: Channel, size: int, given: Selection) -> Selection:
    count = channel.below(MOST_RUNS + 1, len(given.runs), what="the parts of an axis")
    if not count:
        raise Damaged("an axis of a part in it has nothing")
    runs = given.runs if channel.writing else (0,) * count
    found = tuple(channel.number(run) for run in runs)
    repeats = channel.below(size + 2, given.repeats, what="the parts of an axis")
    if sum(found) * repeats >= 1 << 31:
        raise Damaged("an axis of a part in it is too long")
    return Selection(found, repeats)


def _factors(channel: Channel, lines: int, width: int, given: bytes) -> NDArray[Any]:
    kind = "<u1" if width == 1 else "<f4"
    ones = np.ones(lines, kind)
    mode = ONES if given == ones.tobytes() else TEXT if len(given) <= _LONG else RAW
    mode = channel.below(3, mode, what="a kind of factors")
    if mode == ONES:
        return ones
    content = given if channel.writing else None
    size = lines * width
    if mode == TEXT and size > _LONG:
        raise Damaged("a part of an array in it has too many factors")
    return np.frombuffer(channel.text(size, content) if mode == TEXT else channel.verbatim(size, content), kind)
