"""An archive as a whole: its head, its sections, its check.

=====================  ====================================================================================================
``EKZ``, version       four bytes
size                   of the file, as a number of seven bits a byte, lowest first
CRC-32, Adler-32       of the file: four bytes each, lowest first
table bits             of the text model: one byte
workspace              bytes that the C decoder needs, in units of 1024: a number
raw size               a number; then so many raw bytes, which sections take from in order
modelled bits          to the end: one run of the arithmetic coder
=====================  ====================================================================================================

The modelled bits hold, through the text model, for each section its method, the length of the text before it, that text, its
length and role, and its content; after the last a zero, and what is left of the text. In archives of several files, which are
of version 2, methods and lengths of all sections come first (``tables.py``), then in turn the texts and contents.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from edgekit.packing.along import Along
from edgekit.packing.channel import Channel
from edgekit.packing.choosing import Section, choose
from edgekit.packing.choosing_several import choose_several
from edgekit.packing.coder import Decoder, Encoder
from edgekit.packing.damage import Damaged
from edgekit.packing.layout import Array, arrays_of
from edgekit.packing.sections import CUT, END, Form, code_array
from edgekit.packing.several import parts_of
from edgekit.packing.tables import code_table
from edgekit.packing.workspace import workspace_of

MAGIC = b"EKZ\x01"

#: What an archive of several files begins with.
MAGIC_OF_SEVERAL = b"EKZ\x02"

#: A file has at most so many bytes for each of its archive: one of more has zeros appended, which a decoder passes over.
RATIO = 1024
_ALWAYS = 1 << 16

#: Larger files are not packed: their archives could not be told from hostile ones.
MOST_BYTES = (1 << 31) - 1


@dataclass(frozen=True)
class Packed:
    """An archive.

    Attributes:
        data: its bytes.
        parts: bytes by what they are for; they add up to all.
    """

    data: bytes
    parts: dict[str, int]


def write(data: bytes, *, fast: bool = False) -> Packed:
    """The archive of a file; see ``choosing.choose`` for ``fast``."""
    parts = parts_of(data)
    arrays = [] if parts else arrays_of(data)
    sections = choose_several(data, parts, fast=fast) if parts else choose(data, arrays, fast=fast)
    text = len(data) - sum(section.array.size for section in sections)
    table_bits = min(max((24 * text + 2048).bit_length(), 12), 18)
    encoder = Encoder()
    several = bool(parts)
    channel = Channel(encoder, table_bits, several=several)
    if several:
        _write_several(channel, data, sections)
    else:
        _write_one(channel, data, arrays, sections)
    modelled = encoder.finish()
    head = b"".join(
        (
            MAGIC_OF_SEVERAL if several else MAGIC,
            number(len(data)),
            zlib.crc32(data).to_bytes(4, "little"),
            zlib.adler32(data).to_bytes(4, "little"),
            bytes([table_bits]),
            number(-(-workspace_of(table_bits, channel.matrices, channel.masked, len(sections) if several else None) // 1024)),
            number(len(channel.raw)),
        )
    )
    account = {**channel.account, "header": len(head)}
    account["structure"] = account.get("structure", 0) + len(modelled) - encoder.written
    archive = head + channel.raw + modelled
    missing = -(-(len(data) - _ALWAYS) // RATIO) - len(archive)
    if missing > 0:
        archive, account["header"] = archive + bytes(missing), account["header"] + missing
    return Packed(archive, {name: size for name, size in sorted(account.items()) if size})


def _write_one(channel: Channel, data: bytes, arrays: list[Array], sections: list[Section]) -> None:
    """The sections of one file: what there is to know of each stands before it."""
    at = 0
    for section in sections:
        array = section.array
        channel.number(section.form.method)
        channel.number(array.start - at)
        _text(channel, data, at, array.start, arrays)
        channel.number(array.size)
        channel.booked("structure")
        end = array.start + array.size
        code_array(channel, array.size, data[array.start : end], section.form, data[: array.start], array.role)
        at = end
    channel.number(END)
    _text(channel, data, at, len(data), arrays)


def _write_several(channel: Channel, data: bytes, sections: list[Section]) -> None:
    """The sections of several files: first what there is to know of all, for one file's are much like another's."""
    given = [(section.form.method, section.array.start, section.array.size) for section in sections]
    table = code_table(channel, len(data), given)
    channel.booked("structure")
    channel.along = Along(table, data)
    for index, section in enumerate(sections):
        start, end = section.array.start, section.array.start + section.array.size
        channel.along.enter(index)
        before = table.text_of(index - 1)[0]
        channel.text(start - before, data[before:start], channel.along.text(before, within=False))
        channel.booked("structure")
        code_array(channel, end - start, data[start:end], section.form, data[:start], section.array.role)
    channel.along.enter(len(sections))
    channel.text(len(data) - table.end, data[table.end :], channel.along.text(table.end, within=False))
    channel.booked("structure")


def _text(channel: Channel, data: bytes, start: int, end: int, arrays: list[Array]) -> None:
    """Writes a piece as text, and books what of it belongs to an array to its role."""
    for array in arrays:
        if start <= array.start and array.start + array.size <= end:
            channel.text(array.start - start, data[start : array.start])
            channel.booked("structure")
            start = array.start + array.size
            channel.text(array.size, data[array.start : start])
            channel.booked(array.role)
    channel.text(end - start, data[start:end])
    channel.booked("structure")


def read(archive: bytes) -> bytes:
    """The file of an archive.

    Raises:
        Damaged: it is not one, or was changed.
    """
    if archive[:4] not in (MAGIC, MAGIC_OF_SEVERAL):
        newer = archive[:3] == MAGIC[:3]
        raise Damaged(f"its version {archive[3]} is unknown" if newer and len(archive) > 3 else "it does not begin with 'EKZ'")
    size, at = _number_at(archive, 4)
    if size > min(RATIO * len(archive) + _ALWAYS, MOST_BYTES):
        raise Damaged(f"it can't hold the {size:,} bytes that it declares")
    checks, table_bits = archive[at : at + 8], archive[at + 8 : at + 9]
    _, at = _number_at(archive, at + 9)
    raw, at = _number_at(archive, at)
    if not table_bits or not 12 <= table_bits[0] <= 18 or at + raw > len(archive):
        raise Damaged("it ends too early")
    several = archive[:4] == MAGIC_OF_SEVERAL
    channel = Channel(Decoder(archive[at + raw :]), table_bits[0], archive[at : at + raw], several=several)
    data = (_read_several if several else _read_one)(channel, size)
    if zlib.crc32(data).to_bytes(4, "little") + zlib.adler32(data).to_bytes(4, "little") != checks:
        raise Damaged("its checksum is not that of what it holds")
    return bytes(data)


def _read_one(channel: Channel, size: int) -> bytearray:
    data = bytearray()
    while method := channel.below(CUT + 1, what="a method"):
        data += channel.text(channel.below(size - len(data) + 1, what="a length"), None)
        length = channel.below(size - len(data) + 1, what="a length")
        data += code_array(channel, length, None, Form(method), data, "")
    data += channel.text(size - len(data), None)
    return data


def _read_several(channel: Channel, size: int) -> bytearray:
    data = bytearray()
    table = code_table(channel, size, None)
    channel.along = Along(table, data)
    for index, entry in enumerate(table.entries):
        channel.along.enter(index)
        data += channel.text(entry.start - len(data), None, channel.along.text(len(data), within=False))
        data += code_array(channel, entry.size, None, Form(entry.method), data, "")
    channel.along.enter(len(table.entries))
    data += channel.text(size - len(data), None, channel.along.text(len(data), within=False))
    return data


def number(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 42:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise Damaged("it ends too early")
