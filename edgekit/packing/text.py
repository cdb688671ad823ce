"""The model of all that is no matrix of weights: tables, offsets, names, codebooks and biases, byte by byte.

Contexts are the one to four bytes before, and, because most of it is numbers of four bytes, the bytes one and two numbers
before at the same place of a number. Beside these it looks where the last five bytes stood before, and expects what followed.
"""

from __future__ import annotations

from edgekit.packing.along import Told
from edgekit.packing.coder import Coder
from edgekit.packing.damage import Damaged
from edgekit.packing.mixing import Mixer

_CONTEXTS = 7
_MATCH = 5  # bytes that have to agree
_LONGEST = 31
_HASHED = 1 << 14

#: Bytes that are remembered; a power of two.
WINDOW = 1 << 16


#: Bytes of text that an archive may have: each takes Python about 0.1 ms.
MOST = 1 << 16


class Text:
    """Codes bytes, one after the other.

    Attributes:
        coded: how many there were.
    """

    def __init__(self, coder: Coder, table_bits: int, *, several: bool = False) -> None:
        """A model that has seen nothing.

        Args:
            coder: bits go there or come from there.
            table_bits: of the number of slots for each kind of context; at least 4.
            several: it may be told what to expect.
        """
        self._bits = table_bits
        self._first = 256
        self._matched = 256 + (_CONTEXTS << table_bits)
        self._told = self._matched + 2 * _LONGEST + 3
        self.coded = 0
        slots, sets = (self._told + 2 * _LONGEST + 2, 20) if several else (self._told, 12)
        self._mixer = Mixer(coder, slots, _CONTEXTS + 2, sets, direct=0, start=13107, rate=25, limit=255)
        self._window = bytearray(WINDOW)
        self._at = 0
        self._heads = [0] * _HASHED
        self._follow = 0  # where in the window the byte is expected to come from
        self._agreed = 0  # how many bytes before it agree, 0 for no expectation
        self._true = 0  # how often what was told to be expected came, of late

    def code(self, given: int = 0, told: int = -1) -> int:
        """Codes one byte: the one given when encoding, the one read when decoding.

        Args:
            given: the byte to encode.
            told: the byte that is expected, which counts more than what the text itself lets expect; -1 for none.

        Raises:
            Damaged: there are more than a sound archive can have.
        """
        self.coded += 1
        if self.coded > MOST:
            raise Damaged("it has more text than a packer writes")
        window, at = self._window, self._at
        expected = told if told >= 0 else window[self._follow] if self._agreed else -1
        if told >= 0:
            first, sure = self._told + 2 * self._true, 3 + (self._true >= 16)
        else:
            first, sure = self._matched + 1 + 2 * self._agreed, 1 + (self._agreed >= 16)
        hashes = self._hashes()
        node = 1
        for half in (0, 1):
            bases = self._bases(hashes, half, node)
            sub = 1
            for k in range(4):
                shift = 7 - 4 * half - k
                if expected >= 0 and (expected | 256) >> (shift + 1) == node:
                    places = [node, *[base + sub for base in bases], first + (expected >> shift & 1)]
                    bit = self._mixer.code(places, 4 * sure + (at & 3), given >> shift & 1)
                else:
                    places = [node, *[base + sub for base in bases], self._matched]
                    bit = self._mixer.code(places, at & 3, given >> shift & 1)
                node = 2 * node + bit
                sub = 2 * sub + bit
        byte = node & 255
        if told >= 0:
            self._true = min(self._true + 1, _LONGEST) if byte == told else self._true >> 2
        self._learn(byte)
        return byte

    def code_all(self, count: int, given: bytes | None, told: Told | None = None) -> bytes:
        """Codes ``count`` bytes; ``given`` is None when decoding, ``told`` what is expected."""
        if told is None:
            return bytes(self.code(0 if given is None else given[i]) for i in range(count))
        out = bytearray()
        for i in range(count):
            out.append(self.code(0 if given is None else given[i], told.next()))
            told.came(out[-1])
        return bytes(out)

    def number(self, given: int = 0, told: int = -1) -> int:
        """Codes a whole number from 0: seven bits a byte, lowest first; below 2^35. ``told`` is what is expected.

        Raises:
            Damaged: the number read is larger.
        """
        value = shift = 0
        while True:
            rest = given >> shift
            expected = -1 if told < 0 else told >> shift & 127 | (128 if told >> shift > 127 else 0)
            byte = self.code(rest & 127 | (128 if rest > 127 else 0), expected)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift == 35:
                raise Damaged("a number in it is too long")

    def _back(self, distance: int) -> int:
        return self._window[(self._at - distance) & (WINDOW - 1)]

    def _hashes(self) -> tuple[int, ...]:
        b1, b2, b3, b4, b8 = (self._back(d) for d in (1, 2, 3, 4, 8))
        place = self._at & 3
        two = b1 | b2 << 8
        three = two | b3 << 16
        return (b1, two, three, three | b4 << 24, place << 8 | b4, place << 16 | b8 << 8 | b4, place << 16 | b1 << 8 | b4)

    def _bases(self, hashes: tuple[int, ...], half: int, node: int) -> list[int]:
        """For each context the first of its 16 slots, for one half of the byte."""
        bits, mask = self._bits, (1 << self._bits) - 16
        salt = node * 0x85EBCA6B if half else 0
        bases = []
        for i, context in enumerate(hashes):
            x = ((2 * context + half) * 0x9E3779B1 + i * 0x3C6EF372 + salt) & 0xFFFFFFFF
            x = ((x ^ x >> 15) * 0x2C1B3C6D) & 0xFFFFFFFF
            bases.append(self._first + (i << bits) + (x >> (32 - bits) & mask))
        return bases

    def _learn(self, byte: int) -> None:
        """Remembers the byte, and finds what to expect next."""
        window, at = self._window, self._at
        follow_ok = self._agreed and window[self._follow] == byte
        window[at & (WINDOW - 1)] = byte
        self._at = at = at + 1
        if follow_ok:
            self._agreed = min(self._agreed + 1, _LONGEST)
            self._follow = (self._follow + 1) & (WINDOW - 1)
        else:
            self._agreed = 0
        if at < _MATCH:
            return
        key = 0
        for distance in range(_MATCH, 0, -1):
            key = (key * 0x2F + self._back(distance) + 1) & 0xFFFFFFFF
        key = ((key * 0x9E3779B1) & 0xFFFFFFFF) >> 18
        if not self._agreed:
            there = self._heads[key]  # 0 where nothing was: a match at the very beginning is not worth a flag
            length = 0
            while there and length < _LONGEST and length < there:
                if window[(there - 1 - length) & (WINDOW - 1)] != self._back(1 + length):
                    break
                length += 1
            if length >= _MATCH:
                self._agreed, self._follow = length, there & (WINDOW - 1)
        self._heads[key] = at
