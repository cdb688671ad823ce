"""The forms of what several files in one hold: the first one's as if it were alone, the others' as parts of it and like it.

Every array becomes a section, also where it is text, and where a file lacks one that the first has an empty section stands for
it: so the sections of all files answer to each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from edgekit.packing.channel import MOST_DECISIONS
from edgekit.packing.choosing import TEXT_AIMED_AT, Section, as_product, decisions, form_of, is_array, smallest
from edgekit.packing.finding import Earlier
from edgekit.packing.layout import Array, arrays_of
from edgekit.packing.likeness import DECISIONS, SCALED, SHORT, Like, like_of
from edgekit.packing.sections import CUT, LIKE, PART, PRODUCT, TEXT, Form
from edgekit.packing.several import Part

#: Arrays of fewer bytes are text whatever they are.
_LEAST = 32

#: Arrays of so many bytes or fewer that are the first file's own are text.
_SAME = 256

#: Bytes of arrays that the first file lacks that are text at most.
_BEYOND = 1024


def choose_several(data: bytes, parts: tuple[Part, ...], *, fast: bool) -> list[Section]:
    """The sections of several files, in order; see ``choosing.choose``."""
    found = [_arrays(data, part) for part in parts]
    text = len(data) - sum(array.size for arrays in found for array in arrays)
    files = _answering(parts, [_with_long_text(data, part, arrays, text) for part, arrays in zip(parts, found, strict=True)])
    chooser = _Chooser(data, files[0], 0 if fast else MOST_DECISIONS)
    sections: list[Section] = []
    for part, arrays in zip(parts, files, strict=True):
        sections.append(Section(Array(part.start, 0, 8, 1, 0, "structure"), Form(PART)))
        sections += [Section(array, chooser.form(array, number, arrays)) for number, array in enumerate(arrays)]
    return _with_little_text(data, sections)


def _arrays(data: bytes, part: Part) -> list[Array]:
    """Those of one file, by their place in all."""
    found = arrays_of(data[part.start : part.start + part.size], all_of_them=True)
    return [
        replace(array, start=part.start + array.start, scales=part.start + array.scales if array.scales >= 0 else -1)
        for array in found
    ]


def _with_long_text(data: bytes, part: Part, arrays: list[Array], text: int) -> list[Array]:
    """Also long pieces between arrays that are better no text; there are so many bytes of ``text`` in all files."""
    ends = [part.start, *(array.start + array.size for array in arrays)]
    starts = [*(array.start for array in arrays), part.start + part.size]
    found = list(arrays)
    for number, (start, end) in enumerate(zip(ends, starts, strict=True)):
        if is_array(np.frombuffer(data, np.uint8)[start:end], text):
            found.append(Array(start, end - start, 8, min(end - start, 64), 0, "structure", f"text {number}"))
    return sorted(found, key=lambda array: array.start)


def _answering(parts: tuple[Part, ...], files: list[list[Array]]) -> list[list[Array]]:
    """The arrays of each file that the first one has too, with an empty one for each that it lacks.

    A file that has much more than the first one keeps its own arrays: then nothing answers to anything.
    """
    first = files[0]
    names = [array.name for array in first]
    out = [first]
    for part, arrays in zip(parts[1:], files[1:], strict=True):
        end = part.start
        here: list[Array] = []
        matcher = SequenceMatcher(None, names, [array.name for array in arrays], autojunk=False)
        found = {block.a + i: block.b + i for block in matcher.get_matching_blocks() for i in range(block.size)}
        for number, array in enumerate(first):
            if number in found:
                end = arrays[found[number]].start + arrays[found[number]].size
                here.append(arrays[found[number]])
            else:
                here.append(Array(end, 0, array.bits, 1, 0, array.role, array.name))
        beyond = sum(array.size for array in arrays) - sum(array.size for array in here)
        out.append(here if beyond <= _BEYOND else arrays)
    return out


class _Chooser:
    """Chooses the form of one array after the other."""

    def __init__(self, data: bytes, first: list[Array], budget: int) -> None:
        self._data, self._first, self._budget = data, first, budget
        self._earlier = Earlier(data, [array for array in first if array.role == "weights"])

    def form(self, array: Array, number: int, arrays: list[Array]) -> Form:
        """That of the n-th array of a file."""
        content = self._content(array)
        if not array.size:
            return Form(TEXT)
        if arrays is not self._first and (found := self._alike(array, number, arrays)) is not None:
            return found
        if array.role == "scales":
            return as_product(self._data, array, _scales(arrays[:number])) or Form(TEXT)
        if array.role == "structure":
            return form_of(np.frombuffer(content, np.uint8), array, 0)
        if array.size < _LEAST or (found := smallest(content, array, self._budget)) is None:
            return Form(TEXT)
        self._budget -= decisions(content, found)
        return found

    def _alike(self, array: Array, number: int, arrays: list[Array]) -> Form | None:
        """As a part of an array of the first file or like one; None where it is neither."""
        answers = len(arrays) == len(self._first)
        other, content = self._first[number] if answers else array, self._content(array)
        if answers and array.size <= _SAME and self._content(other) == content:
            return Form(TEXT)
        if array.role == "weights":
            position = sum(a.role == "weights" for a in arrays[:number])
            cut = self._earlier.find(array, position)
            return None if cut is None else Form(CUT, array.bits, cut=cut)
        if not answers:
            return None
        found: Like | None = None
        if array.role == "scales" and as_product(self._data, array, _scales(arrays[:number])) is None:
            found = like_of(SHORT, content, b"", 0)
        if array.role == "biases" and array.bits == 32 and array.scales >= 0:
            back = [number - i for i, a in enumerate(arrays) if a.start == array.scales and a.size == array.size]
            back = [distance for distance in back if distance > 0 and self._first[number - distance].size >= other.size]
            found = like_of(SCALED, content, self._content(arrays[number - back[0]]), back[0]) if back else None
        if found is None or DECISIONS * (array.size // 4) > self._budget:
            return None
        self._budget -= DECISIONS * (array.size // 4)
        return Form(LIKE, array.bits, like=found)

    def _content(self, array: Array) -> bytes:
        return self._data[array.start : array.start + array.size]


def _scales(arrays: Iterable[Array]) -> list[Array]:
    return [array for array in arrays if array.role == "scales"]


def _with_little_text(data: bytes, sections: list[Section]) -> list[Section]:
    """Where there is too much text, the longest arrays that are text get another form."""
    left = len(data) - sum(section.array.size for section in sections if section.form.method not in (TEXT, PRODUCT))
    out = list(sections)
    longest = sorted((s.array.size, n) for n, s in enumerate(sections) if s.form.method == TEXT)
    while left > TEXT_AIMED_AT and longest and longest[-1][0] >= _LEAST:
        size, number = longest.pop()
        array = sections[number].array
        content = data[array.start : array.start + size]
        form = form_of(np.frombuffer(content, np.uint8), replace(array, bits=8, columns=min(size, 64), period=0), 0)
        out[number] = Section(array, form)
        left -= size
    return out
