"""A binary arithmetic coder with carry-free 32-bit bounds: bits in, bytes out, at the cost that their probabilities say."""

from __future__ import annotations

from typing import Protocol

_TOP = 0xFFFFFFFF


class Coder(Protocol):
    """Codes one bit after the other. Encoder and decoder have the same face, so that a model is written once."""

    def code(self, bit: int, p: int) -> int:
        """The bit: the one given when encoding, the one read when decoding (what is given then does not matter).

        Args:
            bit: 0 or 1.
            p: probability of a 1, in 1/65536, from 1 to 65535.
        """


class Encoder:
    """Writes bits."""

    def __init__(self) -> None:
        self._low, self._high = 0, _TOP
        self._out = bytearray()

    def code(self, bit: int, p: int) -> int:
        """See ``Coder``."""
        low, high = self._low, self._high
        middle = low + (((high - low) * p) >> 16)
        if bit:
            high = middle
        else:
            low = middle + 1
        while not (low ^ high) & 0xFF000000:
            self._out.append(high >> 24)
            low = (low << 8) & _TOP
            high = ((high << 8) & _TOP) | 255
        self._low, self._high = low, high
        return bit

    @property
    def written(self) -> int:
        """Bytes so far."""
        return len(self._out)

    def finish(self) -> bytes:
        """All bytes: no more than tell the last interval from others, given that a reader finds zeros behind them."""
        for count in range(5):
            step = 1 << (32 - 8 * count)
            value = -(-self._low // step) * step
            if value <= self._high:
                tail = (value >> (32 - 8 * count)).to_bytes(count, "big") if count else b""
                return bytes(self._out) + tail
        raise AssertionError("four bytes name any value")


class Decoder:
    """Reads bits. Behind the end stand zeros; whoever reads on and on there is told by the checksum."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = bytes(data)
        self._low, self._high = 0, _TOP
        self._value = int.from_bytes(self._data[:4].ljust(4, b"\0"), "big")
        self._at = 4

    def code(self, bit: int, p: int) -> int:
        """See ``Coder``."""
        low, high, value = self._low, self._high, self._value
        middle = low + (((high - low) * p) >> 16)
        if value <= middle:
            bit, high = 1, middle
        else:
            bit, low = 0, middle + 1
        while not (low ^ high) & 0xFF000000:
            low = (low << 8) & _TOP
            high = ((high << 8) & _TOP) | 255
            at = self._at
            value = ((value << 8) & _TOP) | (self._data[at] if at < len(self._data) else 0)
            self._at = at + 1
        self._low, self._high, self._value = low, high, value
        return bit

    @property
    def spent(self) -> int:
        """Bytes read past the end: more than four never happen in a sound archive."""
        return max(self._at - len(self._data), 0)
