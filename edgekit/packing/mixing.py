"""Predictions of several contexts, mixed into one: the heart of all models.

Each context has a slot with the probability of a 1 that was seen there. The mixer adds the slots' logits with weights that
follow the error, p = squash(sum w_i * stretch(p_i)): logistic mixing (M. Mahoney, "Adaptive Weighing of Context Models for
Lossless Data Compression", 2005), in integers throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

from edgekit.packing.coder import Coder
from edgekit.packing.logistic import LIMIT, RATES, SQUASH, STRETCH

#: A slot that was never used: 22 bits of probability, 10 bits that count the uses.
_HALF = 1 << 31


class Mixer:
    """Codes bits with the predictions of slots."""

    def __init__(
        self, coder: Coder, slots: int, looks: int, sets: int, *, direct: int, start: int, rate: int, limit: int
    ) -> None:
        """A mixer that has seen nothing.

        Args:
            coder: bits go there or come from there.
            slots: all contexts together.
            looks: slots that one bit looks at.
            sets: of weights, of which each bit chooses one.
            direct: logits that come with each bit beside those of slots.
            start: the weights of slots at first, in 1/65536; those of direct logits are 0.
            rate: how far weights move on an error.
            limit: from so many uses on a slot forgets (at most 1023): its rate stays 1 / (limit + 1.5).
        """
        self._code = coder.code
        self._slots = [_HALF] * slots
        self._weights = [[start] * looks + [0] * (direct + 1) for _ in range(sets)]
        self._limit = limit
        self._rate = rate

    def forget(self, place: int) -> None:
        """Makes a slot as if it was never used."""
        self._slots[place] = _HALF

    def code(self, places: Sequence[int], chosen: int, bit: int, direct: Sequence[int] = ()) -> int:
        """Codes a bit and learns from it.

        Args:
            places: the slots to look at.
            chosen: the set of weights.
            bit: to encode; anything when decoding.
            direct: further logits.
        """
        slots, weights = self._slots, self._weights[chosen]
        states = [slots[place] for place in places]
        logits = [STRETCH[state >> 20] for state in states]
        logits.extend(direct)
        logits.append(256)
        total = sum(map(mul, weights, logits)) >> 16
        p = SQUASH[(LIMIT if total > LIMIT else -LIMIT if total < -LIMIT else total) + LIMIT]
        bit = self._code(bit, p)
        error = ((bit << 16) - p) * self._rate
        self._weights[chosen] = [w + ((x * error + 524288) >> 20) for w, x in zip(weights, logits, strict=True)]
        limit = self._limit
        for place, state in zip(places, states, strict=True):
            count, q = state & 1023, state >> 10
            if bit:
                q += ((4194304 - q) * RATES[count]) >> 16
            else:
                q -= (q * RATES[count]) >> 16
            slots[place] = q << 10 | (count + 1 if count < limit else count)
        return bit
