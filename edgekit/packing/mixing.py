"""Predictions of several contexts, mixed into one: the heart of all models.

Each context has a slot with the probability of a 1 that was seen there. The mixer adds the slots' logits with weights that
follow the error, p = squash(sum w_i * stretch(p_i)): logistic mixing (M. Mahoney, "Adaptive Weighing of Context Models for
Lossless Data Compression", 2005), in integers throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any

from edgekit.packing.coder import Coder
from edgekit.packing.logistic import LIMIT, RATES, SQUASH, STRETCH

#: A slot that was never used: 22 bits of probability, 10 bits that count the uses.
_HALF = 1 << 31

#: What the function ``code`` knows beside its arguments.
_KNOWN = ("slots", "weights", "coded", "rate", "limit", "STRETCH", "SQUASH", "RATES", "LIMIT")


class Mixer:
    """Codes bits with the predictions of slots.

    Attributes:
        code: ``code(places, chosen, bit, direct=())`` codes a bit and learns from it. It takes the slots to look at, the set of
            weights, the bit to encode (anything when decoding) and further logits, and returns the bit.
    """

    code: Callable[..., int]

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
        self._slots = [_HALF] * slots
        weights = [[start] * looks + [0] * (direct + 1) for _ in range(sets)]
        values = (self._slots, weights, coder.code, rate, limit, STRETCH, SQUASH, RATES, LIMIT)
        known: dict[str, Any] = dict(zip(_KNOWN, values, strict=True))
        exec(_written_out(looks, direct), known)
        self.code = known["code"]

    def forget(self, place: int) -> None:
        """Makes a slot as if it was never used."""
        self._slots[place] = _HALF


@cache
def _written_out(looks: int, direct: int) -> CodeType:
    """The function ``code`` without loops over its inputs, which take Python half as long again."""

    def each(text: str, count: int, between: str) -> str:
        return between.join(text.replace("#", str(number)) for number in range(count))

    inputs = looks + direct + 1
    rise, fall = "(4194304 - (s# >> 10)) * RATES[n] >> 16", "(s# >> 10) * RATES[n] >> 16"
    lines = [
        f"def code(places, chosen, bit, direct=(), {', '.join(f'{name}={name}' for name in _KNOWN)}):",
        f" {each('p#, ', looks, '')}= places",
        f" {each('s# = slots[p#]', looks, '; ')}",
        f" {each('x# = STRETCH[s# >> 20]', looks, '; ')}",
        *([f" {''.join(f'x{looks + number}, ' for number in range(direct))}= direct"] if direct else []),
        f" x{inputs - 1} = 256",
        f" {each('w#, ', inputs, '')}= weights[chosen]",
        f" total = {each('w# * x#', inputs, ' + ')} >> 16",
        " p = SQUASH[(LIMIT if total > LIMIT else -LIMIT if total < -LIMIT else total) + LIMIT]",
        " bit = coded(bit, p)",
        " error = ((bit << 16) - p) * rate",
        f" weights[chosen] = [{each('w# + (x# * error + 524288 >> 20)', inputs, ', ')}]",
        " if bit:",
        f"  {each(f'n = s# & 1023; slots[p#] = s# + ({rise} << 10) + (n < limit)', looks, '; ')}",
        " else:",
        f"  {each(f'n = s# & 1023; slots[p#] = s# - ({fall} << 10) + (n < limit)', looks, '; ')}",
        " return bit",
    ]
    return compile("\n".join(lines), "<mixer>", "exec")
