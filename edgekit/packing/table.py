"""Where the sections of several files in one stand, and which of them answer to which.

Each file begins with an empty section of method ``PART``. The n-th section of a file answers to the n-th of the first one,
if both have equally many: so a place in the first file has a place in the other, and an offset there one here.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass
class Entry:
    """A section.

    Attributes:
        method: how it is written.
        start: its first byte.
        size: in bytes.
        source: (product) where the numbers stand that are multiplied; (like) how many sections before its scales stand.
        factor: (product) the factor's four bytes.
    """

    method: int
    start: int
    size: int
    source: int = 0
    factor: bytes = b""

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


class Table:
    """The sections of an archive, in order; more may come until all are known."""

    def __init__(self, part: int, total: int) -> None:
        """One without sections.

        Args:
            part: the method that begins a file.
            total: bytes of all files in one.
        """
        self.entries: list[Entry] = []
        self.parts: list[int] = []
        self._part, self._total = part, total
        self._starts: list[int] = []

    @property
    def end(self) -> int:
        """The first byte behind the last section."""
        return self.entries[-1].end if self.entries else 0

    def add(self, entry: Entry) -> None:
        """Appends a section."""
        if entry.method == self._part:
            self.parts.append(len(self.entries))
        self.entries.append(entry)
        self._starts.append(entry.start)

    def part_of(self, index: int) -> int:
        """Which file a section is of: 0 for the first; -1 before any."""
        return bisect_right(self.parts, index) - 1

    def template(self, index: int) -> int | None:
        """The number of the section that one answers to in the file before, whatever comes behind it; None for none."""
        part = self.part_of(index)
        if part < 1:
            return None
        at = self.parts[part - 1] + index - self.parts[part]
        return at if at < self.parts[part] else None

    def is_over(self, index: int) -> bool:
        """Whether the file before had as many sections as this one before the one with this number."""
        return len(self.parts) > 1 and index - self.parts[-1] == self.parts[-1] - self.parts[-2]

    def gap_of(self, index: int) -> int:
        """Bytes of text before a section."""
        return self.entries[index].start - self.text_of(index - 1)[0]

    def counterpart(self, index: int) -> int | None:
        """The number of the section of the first file that one answers to; None where the files differ in their sections."""
        part = self.part_of(index)
        if part < 1 or self._count(part) != self._count(0):
            return None
        return self.parts[0] + index - self.parts[part]

    def moved(self, place: int, part: int) -> int | None:
        """What a place of the first file is in another one; None where it is no place of the first file."""
        first = self.parts[0]
        if not self._starts[first] <= place < self._starts[self.parts[1]]:
            return None
        theirs = bisect_right(self._starts, place, first, self.parts[1]) - 1
        mine = self.parts[part] + theirs - first
        entry = self.entries[theirs]
        if place < entry.end:
            return self._starts[mine] + place - entry.start
        return place + self.shift(mine, theirs)

    def shift(self, mine: int, theirs: int) -> int:
        """How much further the text behind a section stands than that behind the other: of unequal ones the ends agree."""
        here, there = self.text_of(mine), self.text_of(theirs)
        last = self.begins_part(theirs + 1)
        return here[0] - there[0] if last or here[1] - here[0] == there[1] - there[0] else here[1] - there[1]

    def text_of(self, index: int) -> tuple[int, int]:
        """The first byte of the text behind a section, and the first one behind that text; -1: before all sections."""
        start = self.entries[index].end if index >= 0 else 0
        return start, self._starts[index + 1] if index + 1 < len(self.entries) else self._total

    def begins_part(self, index: int) -> bool:
        """Whether a file begins with a section."""
        return self.entries[index].method == self._part

    def _count(self, part: int) -> int:
        end = self.parts[part + 1] if part + 1 < len(self.parts) else len(self.entries)
        return end - self.parts[part]
