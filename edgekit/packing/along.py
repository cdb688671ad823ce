"""What is expected of a file that is one of several: the bytes of the first one at the place that answers to it.

Offsets lead further or less far where sections between are of other sizes, and the number before an array counts its
elements: both are worked out. Other numbers that were not what was expected are expected to change alike again.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edgekit.packing.table import Entry, Table

#: Numbers from here to there are remembered with what became of them.
_LEAST, _MOST = 2, 1 << 12

#: Bytes of the first file in which a factor is looked for.
_SOUGHT = 1 << 16


class Told(Protocol):
    """Who says what byte is expected next."""

    def next(self) -> int:
        """The byte that is expected next; -1 for none."""

    def came(self, byte: int) -> None:
        """What it was."""


class Along:
    """Expectations while the sections of one archive are written or read in order."""

    def __init__(self, table: Table, data: bytes | bytearray) -> None:
        """At the beginning.

        Args:
            table: all sections.
            data: the files in one, as far as they are known.
        """
        self.table, self.data = table, data
        self.index = -1
        self._changed: dict[int, int] = {}
        self._part = -1

    def enter(self, index: int) -> None:
        """Goes on to a section, or to the text before it."""
        self.index = index

    def counterpart(self) -> int | None:
        """The number of the section of the first file that this one answers to."""
        return self.table.counterpart(self.index)

    def text(self, start: int, within: bool) -> Bytes | None:
        """Expectations of bytes from ``start`` on: of this section, or of the text before it; None where there are none."""
        table, mine = self.table, self.index - (not within)
        theirs = table.counterpart(mine) if 0 <= mine < len(table.entries) else None
        if theirs is None:
            return None
        if (part := table.part_of(mine)) != self._part:
            self._part, self._changed = part, {}
        if within:
            there, here = table.entries[theirs], table.entries[mine]
            return Bytes(self, start, there.start - here.start, (there.start, there.end), None)
        ahead = None
        if self.index < len(table.entries) and not table.begins_part(self.index) and not table.begins_part(theirs + 1):
            ahead = (table.entries[self.index], table.entries[theirs + 1])
        counted = None if ahead is None else (ahead[0].start - 4, ahead[0].size, ahead[1].size)
        return Bytes(self, start, -table.shift(mine, theirs), table.text_of(theirs), counted)

    @property
    def entry(self) -> Entry:
        """This section."""
        return self.table.entries[self.index]

    def start(self) -> int:
        """Where the section of the first file begins that this one answers to; -1 for none."""
        theirs = self.counterpart()
        return -1 if theirs is None else self.table.entries[theirs].start

    def product(self) -> tuple[int, bytes]:
        """What is expected of a product: where its numbers stand, -1 for nothing, and its factor, none for nothing."""
        theirs = self.counterpart()
        if theirs is None or self.table.entries[theirs].method != self.entry.method:
            return -1, b""
        other = self.table.entries[theirs]
        place = self.table.moved(other.source, self.table.part_of(self.index))
        return -1 if place is None or place < 0 else place, self._factor(other.factor)

    def _factor(self, theirs: bytes) -> bytes:
        """The bytes that stand where in the first file a factor stood; none where it stands nowhere."""
        table = self.table
        first, here = table.entries[table.parts[0]].start, table.entries[self.index].start
        words = min(_SOUGHT, table.entries[table.parts[1]].start - first) // 4
        same = np.frombuffer(bytes(self.data[first : first + 4 * words]), "<u4") == int.from_bytes(theirs, "little")
        place = table.moved(first + 4 * int(same.argmax()), table.part_of(self.index)) if same.any() else None
        return b"" if place is None or place < 0 or place + 4 > here else bytes(self.data[place : place + 4])

    def word(self, here: int, there: int, counted: tuple[int, int, int] | None) -> int:
        """The 32-bit number that is expected, for the one at ``there`` in the first file."""
        value = int.from_bytes(self.data[there : there + 4], "little")
        if counted is not None and here == counted[0]:
            for width in (1, 2, 4, 8):
                if value * width == counted[2]:
                    return counted[1] // width
        if 0 < value < 1 << 31:
            target = self.table.moved(there + value, self._part)
            if target is not None and target - here != value:
                return (target - here) & 0xFFFFFFFF
        return self._changed.get(value, value)

    def byte_alone(self, there: int) -> bool:
        """Whether the number at a place does not lie within the first file."""
        return there < 0 or there + 4 > self.table.entries[self.table.parts[1]].start

    def learn(self, there: int, value: int) -> None:
        """Remembers what became of a number of the first file."""
        before = int.from_bytes(self.data[there : there + 4], "little")
        if _LEAST <= before < _MOST:
            self._changed[before] = value


class Bytes:
    """The bytes that are expected, one after the other."""

    def __init__(
        self, along: Along, start: int, away: int, limits: tuple[int, int], counted: tuple[int, int, int] | None
    ) -> None:
        """Those from ``start`` on.

        Args:
            along: what they come from.
            start: the first byte's place.
            away: how much further the place in the first file is.
            limits: of the text in the first file.
            counted: place of the number that counts the elements of an array, bytes of that array, of the first file's.
        """
        self._along, self._start, self._at, self._away, self._limits = along, start, start, away, limits
        self._counted = counted
        self._word = b""
        self._came = 0  # the last four bytes as a number

    def next(self) -> int:
        """The byte that is expected next; -1 for none."""
        at, there = self._at, self._at + self._away
        low, high = self._limits
        if not low <= there < high:
            return -1
        place = at & 3
        if self._away & 3 or self._along.byte_alone(there - place):
            return self._along.data[there]
        if place == 0 and at - 4 >= self._start and there - 4 >= low:
            self._along.learn(there - 4, self._came)
        if place == 0 or not self._word:
            self._word = self._along.word(at - place, there - place, self._counted).to_bytes(4, "little")
        return self._word[place]

    def came(self, byte: int) -> None:
        """What it was."""
        self._came = self._came >> 8 | byte << 24
        self._at += 1


class Fixed:
    """Bytes that are expected whatever comes."""

    def __init__(self, content: bytes) -> None:
        """These."""
        self._left = iter(content)

    def next(self) -> int:
        """See ``Told``."""
        return next(self._left, -1)

    def came(self, byte: int) -> None:
        """See ``Told``."""
