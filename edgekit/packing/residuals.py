"""The model of what is left of numbers when what was expected of them is taken away: small ones, of both signs.

A number's count of bits goes through the mixer, with the counts of the two numbers before as contexts; then come its sign and
its other bits as they are.
"""

from __future__ import annotations

from edgekit.packing.coder import Coder
from edgekit.packing.mixing import Mixer

_BITS = 5  # of a count of bits
_NODES = 1 << _BITS

#: Slots of the mixer: of no context, of the kind, of the kind and the last count, of the kind and the larger of two.
SLOTS = _NODES * (1 + 2 + 2 * _NODES + 2 * _NODES)

#: A number and its negative are below this one.
MOST = 1 << (_NODES - 1)

_EVEN = 1 << 15


class Residuals:
    """Codes numbers of two kinds, each with others of its array before it."""

    def __init__(self, coder: Coder) -> None:
        """A model that has seen nothing."""
        self._coder = coder
        self._mixer = Mixer(coder, SLOTS, 4, 2, direct=0, start=21845, rate=25, limit=60)
        self._last = self._before = 0

    def begin(self) -> None:
        """The next number is an array's first."""
        self._last = self._before = 0

    def code(self, kind: int, given: int = 0) -> int:
        """Codes a number, of kind 0 or 1."""
        last, larger = self._last, max(self._last, self._before)
        size = abs(given).bit_length()
        node = 1
        for place in range(_BITS - 1, -1, -1):
            places = (
                node,
                _NODES * (1 + kind) + node,
                _NODES * (3 + kind * _NODES + last) + node,
                _NODES * (3 + (2 + kind) * _NODES + larger) + node,
            )
            node = 2 * node + self._mixer.code(places, kind, size >> place & 1)
        size = node - _NODES
        self._before, self._last = last, size
        if not size:
            return 0
        minus = self._coder.code(int(given < 0), _EVEN)
        value, rest = 1, abs(given)
        for place in range(size - 2, -1, -1):
            value = value << 1 | self._coder.code(rest >> place & 1, _EVEN)
        return -value if minus else value
