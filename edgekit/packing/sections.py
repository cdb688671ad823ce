"""The forms that an array can have in an archive. Each is one function that writes or reads, as the channel goes.

============  ==================================================================================================
``symbols``   a codebook of at most 256 values, and indices through the matrix model
``planes``    the bytes of the elements by their place in an element, each place in a form of its own
``huffman``   a codebook and canonical Huffman codes; of sparse weights also the gaps, as in Deep Compression
``stored``    as it is
``sparse``    which elements are not the common one, and an array of these, each in a form of its own
``product``   float32: a factor times numbers that stand earlier in the file
``cut``       rows and columns of an earlier array, each line times a number (``cutting.py``)
``part``      nothing: one of several files begins here
``text``      bytes through the text model, where several files stand in one: they answer to those of the first
``like``      of several files: numbers like those of the first one's array (``likeness.py``)
============  ==================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.packing import elements, huffman
from edgekit.packing.along import Fixed
from edgekit.packing.channel import Channel
from edgekit.packing.cutting import Cut, code_cut
from edgekit.packing.damage import Damaged
from edgekit.packing.likeness import Like, code_like
from edgekit.packing.symbols import Matrix

#: The methods by the number that stands in an archive; 0 ends it.
END, SYMBOLS, PLANES, HUFFMAN, STORED, SPARSE, PRODUCT, CUT, PART, TEXT, LIKE = range(11)

#: Elements of so many bits, by the number that stands in an archive.
WIDTHS = (8, 16, 32, 64, 4, 2)

_GAP = 255  # a gap this long ends at no weight, and goes on


@dataclass(frozen=True)
class Form:
    """How an array is written: what the packer chose.

    Attributes:
        method: one of the above.
        bits: of an element.
        columns: of a row.
        period: see ``Matrix``.
        common: the value that most elements have, for the matrix model and for gaps.
        gaps: (huffman) whether the common value is left out.
        parts: (planes) the forms of the bytes; (sparse) of the places, and of the other elements.
        source: (product) first byte of the numbers that are multiplied.
        factor: (product) the factor's four bytes.
        cut: (cut) of what it is a part.
        like: (like) how it is like the first file's array.
    """

    method: int
    bits: int = 8
    columns: int = 1
    period: int = 1
    common: int = 0
    gaps: bool = False
    parts: tuple[Form, ...] = ()
    source: int = 0
    factor: bytes = b""
    cut: Cut | None = None
    like: Like | None = None


def code_array(
    channel: Channel,
    size: int,
    given: bytes | None,
    form: Form,
    before: bytes | bytearray,
    role: str,
    width: int | None = None,
) -> bytes:
    """Writes or reads an array of ``size`` bytes whose method is known.

    Args:
        channel: what it is written to or read from.
        size: bytes.
        given: the array; None when reading.
        form: how it is written; when reading only ``method`` counts.
        before: what of the file comes before the array.
        role: whose account its bytes go to.
        width: bits of an element where they are known and need no number.

    Raises:
        Damaged: what is read makes no sense.
    """
    if form.method == STORED:
        out = channel.verbatim(size, given)
    elif form.method == PART:
        out = b""
    elif form.method == TEXT:
        out = channel.text(size, given, None if channel.along is None else channel.along.text(len(before), within=True))
    elif form.method == LIKE:
        out = code_like(channel, size, given, form.like)
    elif form.method == PRODUCT:
        out = _product(channel, size, form, before)
    else:
        bits = width or WIDTHS[channel.below(len(WIDTHS), WIDTHS.index(form.bits), what="the width of elements")]
        if bits > 8 and size % (bits // 8):
            raise Damaged("an array in it has a part of an element")
        if form.method == CUT:
            out = code_cut(channel, size, bits, given, form.cut, before)
        elif form.method == PLANES:
            out = _planes(channel, size, bits, given, form, role)
        elif form.method == SPARSE:
            out = _sparse(channel, size, bits, given, form, role)
        elif form.method == SYMBOLS:
            out = _symbols(channel, size, bits, given, form, role)
        elif form.method == HUFFMAN:
            out = _huffman(channel, size, bits, given, form, role)
        else:
            raise Damaged(f"a method in it can't be {form.method}")
    channel.booked(role)
    return out


def _planes(channel: Channel, size: int, bits: int, given: bytes | None, form: Form, role: str) -> bytes:
    width = bits // 8
    if width < 2:
        raise Damaged("bytes have no planes")
    out = np.zeros((size // width, width), np.uint8)
    source = None if given is None else np.frombuffer(given, np.uint8).reshape(-1, width)
    for place in range(width):
        part = None if source is None else source[:, place].tobytes()
        plane = form.parts[place] if part is not None else Form(END)
        out[:, place] = np.frombuffer(_inner(channel, size // width, part, plane, (SYMBOLS, HUFFMAN, STORED), role), np.uint8)
    return out.tobytes()


def _sparse(channel: Channel, size: int, bits: int, given: bytes | None, form: Form, role: str) -> bytes:
    width = bits // 8
    if not width:
        raise Damaged("a sparse array in it has elements below a byte")
    numbers = None if given is None else elements.split(given, bits)
    common = channel.text(width, None if numbers is None else form.common.to_bytes(width, "little"))
    flags = None if numbers is None else numbers != form.common
    places, others = form.parts or (Form(END), Form(END))
    mask = _inner(
        channel, size // width, None if flags is None else flags.astype(np.uint8).tobytes(), places, (SYMBOLS, HUFFMAN), role
    )
    there = np.frombuffer(mask, np.uint8) != 0
    channel.masked = max(channel.masked, len(there))
    count = int(there.sum())
    rest = None if numbers is None else numbers[there].tobytes()
    content = _inner(channel, count * width, rest, others, (SYMBOLS, PLANES, HUFFMAN, STORED), role, bits)
    out = np.full(size // width, elements.split(common, bits)[0])
    out[there] = elements.split(content, bits)
    return elements.join(out, bits)


def _inner(
    channel: Channel, size: int, given: bytes | None, form: Form, allowed: tuple[int, ...], role: str, bits: int = 8
) -> bytes:
    """An array inside another, with its method before it; what it is made of has ``bits`` bits."""
    method = channel.below(CUT + 1, form.method, what="a method")
    if method not in allowed:
        raise Damaged(f"a part of an array in it can't have method {method}")
    return code_array(channel, size, given, form if given is not None else Form(method), b"", role, bits)


def _symbols(channel: Channel, size: int, bits: int, given: bytes | None, form: Form, role: str) -> bytes:
    count = elements.count_of(size, bits)
    values, indices = _codebook(channel, bits, given, role)
    matrix = Matrix(
        count=count,
        columns=1 + channel.below(max(count, 1), form.columns - 1, what="the columns of an array"),
        period=1 + channel.below(max(count, 1), form.period - 1, what="the period of an array"),
        symbols=len(values),
        common=channel.below(len(values), _common(values, form) if given is not None else 0, what="a symbol"),
    )
    if matrix.period > matrix.columns:
        raise Damaged("the period of an array in it is longer than its rows")
    if matrix.symbols == 1:
        return given if given is not None else elements.join(np.full(count, values[0]), bits)
    found = channel.symbols(matrix, None if indices is None else indices.tolist())
    return given if given is not None else elements.join(_picked(values, np.array(found, np.intp)), bits)


def _huffman(channel: Channel, size: int, bits: int, given: bytes | None, form: Form, role: str) -> bytes:
    count = elements.count_of(size, bits)
    values, indices = _codebook(channel, bits, given, role)
    left_out = channel.below(
        len(values) + 1, 1 + _common(values, form) if form.gaps and given is not None else 0, what="a symbol"
    )
    if not left_out:
        found = _stream(channel, count, len(values), indices)
        return given if given is not None else elements.join(_picked(values, found), bits)
    there = None if indices is None else np.flatnonzero(indices != left_out - 1)
    steps = None if there is None else _gaps(there)
    total = channel.below(count + 1, 0 if steps is None else len(steps), what="a number of gaps")
    steps = _stream(channel, total, _GAP + 1, steps)
    kept = steps != _GAP
    places = np.cumsum(np.where(kept, steps + 1, _GAP))[kept] - 1
    if len(places) and places[-1] >= count:
        raise Damaged("the gaps of an array reach past its end")
    others = _stream(channel, len(places), len(values), None if indices is None or there is None else indices[there])
    if given is not None:
        return given
    out = np.full(count, values[left_out - 1])
    out[places] = _picked(values, others)
    return elements.join(out, bits)


def _gaps(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Elements between one place and the next, cut into pieces of 255 where there are more."""
    gaps = np.diff(places, prepend=-1) - 1
    fillers = gaps // _GAP
    out = np.full(len(gaps) + int(fillers.sum()), _GAP, np.intp)
    out[np.cumsum(fillers + 1) - 1] = gaps % _GAP
    return out


def _stream(channel: Channel, count: int, alphabet: int, given: NDArray[np.intp] | None) -> NDArray[np.intp]:
    stream = None if given is None else huffman.encode(given, alphabet)
    lengths = channel.text(alphabet, None if stream is None else bytes(stream.lengths))
    lanes = -(-count // huffman.lane_size(count)) - 1 if count else 0
    sizes = tuple(channel.number(0 if stream is None else stream.lanes[i]) for i in range(lanes))
    total = channel.number(0 if stream is None else len(stream.bits))
    bits = channel.verbatim(total, None if stream is None else stream.bits)
    return given if given is not None else huffman.decode(huffman.Stream(tuple(lengths), sizes, bits), count)


def _product(channel: Channel, size: int, form: Form, before: bytes | bytearray) -> bytes:
    told, fixed = channel.along.product() if channel.along is not None else (-1, b"")
    source = channel.number(form.source, told)
    content = channel.text(4, form.factor or None, Fixed(fixed) if fixed else None)
    if channel.along is not None:
        channel.along.entry.source, channel.along.entry.factor = source, content
    factor = np.frombuffer(content, "<f4")
    if size % 4 or source + size > len(before):
        raise Damaged("a product in it is of numbers that are not there")
    return product(factor, before[source : source + size])


def product(factor: NDArray[np.float32], numbers: bytes | bytearray) -> bytes:
    """float32 numbers times a factor, rounded to float32."""
    with np.errstate(all="ignore"):
        return (np.frombuffer(numbers, "<f4") * factor).astype("<f4").tobytes()


def _codebook(
    channel: Channel, bits: int, given: bytes | None, role: str
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.intp] | None]:
    """The values that occur, at most 256, in rising order; and, when writing, which of them each element is.

    Values of up to a byte stand there as the distances between them less one, others as they are.
    """
    channel.booked(role)
    ranks = None if given is None else elements.rank(elements.split(given, bits), bits)
    found, indices = (None, None) if ranks is None else np.unique(ranks, return_inverse=True)
    total = 1 + channel.below(256, 0 if found is None else len(found) - 1, what="the size of a codebook")
    if bits > 8:
        content = channel.text(total * bits // 8, None if found is None else elements.join(elements.unrank(found, bits), bits))
        values = elements.split(content, bits)
    else:
        steps = None if found is None else np.diff(found.astype(np.intp), prepend=-1) - 1
        content = channel.text(total, None if steps is None else steps.astype(np.uint8).tobytes())
        sums = np.cumsum(np.frombuffer(content, np.uint8).astype(np.intp) + 1) - 1
        if sums[-1] >> bits:
            raise Damaged("a codebook in it has a value that its elements can't hold")
        values = elements.unrank(sums.astype(np.uint8), bits)
    channel.booked("codebooks")
    return values, indices


def _common(values: NDArray[np.unsignedinteger], form: Form) -> int:
    return int(np.flatnonzero(values == form.common)[0])


def _picked(values: NDArray[np.unsignedinteger], indices: NDArray[np.intp]) -> NDArray[np.unsignedinteger]:
    if len(indices) and int(indices.max()) >= len(values):
        raise Damaged("a symbol in it is not in its codebook")
    return values[indices]
