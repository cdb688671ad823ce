"""Which form each array of a file gets: the smallest one, within the time that an archive may take to unpack."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.packing import elements
from edgekit.packing.channel import MOST_DECISIONS, Channel
from edgekit.packing.coder import Encoder
from edgekit.packing.layout import Array
from edgekit.packing.sections import HUFFMAN, PLANES, PRODUCT, SPARSE, STORED, SYMBOLS, Form, code_array, product
from edgekit.packing.text import MOST

#: Arrays of more bytes are never tried as text, nor are those of more than the second number that have few values.
_SHORT = 1 << 12
_LEAST, _FEW = 512, 32

#: Text in all that the choice aims at, and bytes of a piece that may become an array instead.
TEXT_AIMED_AT = MOST * 3 // 4
LONG_PIECE = 1 << 10


@dataclass(frozen=True)
class Section:
    """An array of the file and its form."""

    array: Array
    form: Form


def choose(data: bytes, arrays: list[Array], *, fast: bool) -> list[Section]:
    """The sections of a file, in order; what lies between them is text.

    Args:
        data: the file.
        arrays: what stands in it, by ``arrays_of``.
        fast: use no model for weights, only what numpy unpacks at once.
    """
    budget = 0 if fast else MOST_DECISIONS
    sections: list[Section] = []
    scales = _scales(data, arrays)
    for array in arrays:
        content = data[array.start : array.start + array.size]
        if array.role == "scales":
            if (form := as_product(data, array, scales)) is not None:
                sections.append(Section(array, form))
            continue
        form = smallest(content, array, budget)
        if form is not None:
            budget -= decisions(content, form)
            sections.append(Section(array, form))
    return _with_long_text(data, sections)


def smallest(content: bytes, array: Array, budget: int) -> Form | None:
    """The best form for an array; None where it is smallest as text."""
    numbers = elements.split(content, array.bits)
    form = form_of(numbers, array, budget)
    if len(content) > _SHORT or (len(content) > _LEAST and len(np.unique(numbers)) <= _FEW):
        return form
    channel, text = Channel(Encoder(), 16), Channel(Encoder(), 16)
    code_array(channel, len(content), content, form, b"", "")
    text.text(len(content), content)
    as_array, as_text = (len(c.coder.finish()) + len(c.raw) for c in (channel, text) if isinstance(c.coder, Encoder))
    return form if as_array + 2 < as_text else None


def form_of(numbers: NDArray[np.unsignedinteger], array: Array, budget: int) -> Form:
    """The best form for an array that is no text."""
    values, counts = np.unique(numbers, return_counts=True)
    common = int(values[counts.argmax()])
    if len(values) > 256:
        return (_as_sparse if counts.max() > len(numbers) / 8 else _as_planes)(numbers, array, budget, common)
    if _entropy(counts) > 0.99 * array.bits:
        return Form(STORED, array.bits)
    if _decisions_of(len(numbers), len(values)) > budget:
        return Form(HUFFMAN, array.bits, common=common, gaps=bool(counts.max() > len(numbers) / 2))
    columns = min(array.columns, len(numbers))
    return Form(SYMBOLS, array.bits, columns, _period(numbers != common, columns, array.period), common)


def _as_planes(numbers: NDArray[np.unsignedinteger], array: Array, budget: int, _: int = 0) -> Form:
    planes = []
    content = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, array.bits // 8)
    for part in content.T[::-1]:  # the highest byte has most to gain
        form = form_of(np.ascontiguousarray(part), replace(array, bits=8), budget)
        budget -= decisions(part.tobytes(), form)
        planes.append(form)
    return Form(PLANES, array.bits, parts=tuple(planes[::-1]))


def _as_sparse(numbers: NDArray[np.unsignedinteger], array: Array, budget: int, common: int) -> Form:
    flags = (numbers != common).astype(np.uint8)
    places = form_of(flags, replace(array, bits=8), budget)
    if places.method == STORED:  # half of them, without any order: nothing is gained
        return _as_planes(numbers, array, budget)
    rest = numbers[flags != 0]
    others = form_of(rest, replace(array, columns=max(len(rest), 1), period=1), budget - decisions(flags.tobytes(), places))
    if others.method == SPARSE:
        others = _as_planes(rest, array, 0)
    return Form(SPARSE, array.bits, common=common, parts=(places, others))


def decisions(content: bytes, form: Form) -> int:
    """Decisions of the matrix model that an array takes."""
    numbers = elements.split(content, form.bits)
    if form.method == PLANES:
        return sum(decisions(numbers.view(np.uint8)[i :: form.bits // 8].tobytes(), part) for i, part in enumerate(form.parts))
    if form.method == SPARSE:
        flags = numbers != form.common
        return decisions(flags.astype(np.uint8).tobytes(), form.parts[0]) + decisions(numbers[flags].tobytes(), form.parts[1])
    return _decisions_of(len(numbers), len(np.unique(numbers))) if form.method == SYMBOLS else 0


def _decisions_of(count: int, symbols: int) -> int:
    return count * (1 + max((symbols - 2).bit_length(), 1)) if symbols > 1 else 0


def _entropy(counts: NDArray[np.intp]) -> float:
    """Bits of a symbol."""
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _period(flags: NDArray[np.bool_], columns: int, hint: int) -> int:
    """How far apart in a row the places are that are used together: the rows of an image, the channels of a pixel."""
    rows = flags[: len(flags) // columns * columns].reshape(-1, columns).astype(np.float32)
    if columns < 8 or len(rows) < 2 or not 0 < rows.mean() < 1:
        return min(max(hint, 1), columns)
    rows = rows - rows.mean()
    shifts = range(2, min(columns // 2, 128) + 1)
    scores = {shift: float((rows[:, shift:] * rows[:, :-shift]).mean()) for shift in {*shifts, hint} if 1 < shift < columns}
    best = max(sorted(scores), key=lambda shift: scores[shift], default=1)
    return best if best == hint or scores.get(best, 0.0) > 1.02 * scores.get(hint, 0.0) else max(hint, 1)


def _scales(data: bytes, arrays: list[Array]) -> list[Array]:
    return [a for a in arrays if a.role == "scales" and len(data) >= a.start + a.size]


def as_product(data: bytes, array: Array, scales: list[Array]) -> Form | None:
    """Scales of a bias are those of the weights times that of the input, and the weights' may stand before them."""
    wanted = data[array.start : array.start + array.size]
    for other in scales:
        if other.start >= array.start or other.size != array.size:
            continue
        source = data[other.start : other.start + other.size]
        for factor in _factors(np.frombuffer(wanted, "<f4"), np.frombuffer(source, "<f4")):
            if product(factor, source) == wanted:
                return Form(PRODUCT, source=other.start, factor=factor.tobytes())
    return None


def _factors(target: NDArray[np.float32], source: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The float32 numbers that may turn one array into the other: those that each of its elements allows."""
    wide, by = target.astype(np.float64), source.astype(np.float64)
    if not (np.isfinite(wide) & np.isfinite(by) & (wide > 0) & (by > 0)).all():
        return []
    with np.errstate(over="ignore", invalid="ignore"):  # beside the largest float32 there is no next one
        half = np.spacing(target).astype(np.float64) / 2
        low, high = ((wide - half) / by).max(), ((wide + half) / by).min()
        middle = np.float32((low + high) / 2)
        near = (middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf)))
    return [np.array([factor], "<f4") for factor in near if np.isfinite(factor)] if low <= high else []


def _with_long_text(data: bytes, sections: list[Section]) -> list[Section]:
    """Long pieces of text that no context helps, and the longest of the others where they are too many, become arrays."""
    ends = [0, *(s.array.start + s.array.size for s in sections)]
    starts = [*(s.array.start for s in sections), len(data)]
    gaps = sorted(((b - a, a) for a, b in zip(ends, starts, strict=True)), reverse=True)
    left = sum(size for size, _ in gaps)
    out = list(sections)
    for size, start in gaps:
        content = np.frombuffer(data, np.uint8)[start : start + size]
        if not is_array(content, left):
            continue
        array = Array(start, size, 8, min(size, 64), 0, "structure")
        out.append(Section(array, form_of(content, array, 0)))
        left -= size
    return sorted(out, key=lambda section: section.array.start)


def is_array(content: NDArray[np.uint8], left: int) -> bool:
    """Whether a piece of text is no text to the packer: it is long, and there is too much text or no context helps."""
    if len(content) < LONG_PIECE:
        return False
    return left > TEXT_AIMED_AT or not 0.1 < _entropy(np.unique(content, return_counts=True)[1]) < 7.9
