"""Several files in one: the sizes of a slimmable network, the largest first, so that the others can be written as parts of it.

=====================  ====================================================================================================
``EKZSIZES``           eight bytes
how many files         a number of seven bits a byte, lowest first
for each: its name     the number of its bytes, and these
for each: its size     a number
the files              each begins at a multiple of 16 bytes; what lies between is zero
=====================  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.packing.damage import Damaged

MAGIC = b"EKZSIZES"

_ALIGNED = 16


@dataclass(frozen=True)
class Part:
    """One of the files: its name, its first byte and its size."""

    name: str
    start: int
    size: int


def join(files: Mapping[str, bytes]) -> bytes:
    """All of them as one file, in their order."""
    head = bytearray(MAGIC + _number(len(files)))
    for name, content in files.items():
        encoded = name.encode()
        head += _number(len(encoded)) + encoded + _number(len(content))
    for content in files.values():
        head += bytes(-len(head) % _ALIGNED) + content
    return bytes(head)


def parts_of(data: bytes | bytearray | memoryview) -> tuple[Part, ...]:
    """Where the files stand; () where it is one file alone.

    Raises:
        Damaged: it begins as several and is none.
    """
    if bytes(data[: len(MAGIC)]) != MAGIC:
        return ()
    count, at = _number_at(data, len(MAGIC))
    named = []
    for _ in range(count):
        length, at = _number_at(data, at)
        name = bytes(data[at : at + length])
        size, at = _number_at(data, at + length)
        named.append((name, size))
    found = []
    for name, size in named:
        at += -at % _ALIGNED
        if at + size > len(data):
            raise Damaged("a file in it ends too early")
        found.append(Part(name.decode(errors="replace"), at, size))
        at += size
    return tuple(found)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number_at(data: bytes | bytearray | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 42:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise Damaged("the list of its files ends too early")
