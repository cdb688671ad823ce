"""Integer tables that the models share with the C decoder: probabilities, their logits, and rates of adaptation.

Both sides build them by the same integer arithmetic, so that a probability here is the same number there.
"""

from __future__ import annotations

from math import isqrt

#: Logits have 8 fractional bits and lie within +-LIMIT: ln(p / (1 - p)) from -11.99 to 11.99.
LIMIT = 3071

#: 65536 / (1 + exp(-x)) at x = -12, -11.5 ... 12; between these, straight lines.
_ANCHORS = (
    *(1, 1, 1, 2, 3, 5, 8, 13, 22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768),
    *(40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514, 65523),
    *(65528, 65531, 65533, 65534, 65535, 65535, 65535),
)


def _squash(x: int) -> int:
    place, rest = (x + 3072) >> 7, (x + 3072) & 127
    return (_ANCHORS[place] * (128 - rest) + _ANCHORS[place + 1] * rest + 64) >> 7


#: Logit + LIMIT -> probability in 1/65536, from 1 to 65535.
SQUASH: tuple[int, ...] = tuple(min(max(_squash(x), 1), 65535) for x in range(-LIMIT, LIMIT + 1))


def _stretch() -> tuple[int, ...]:
    table, x = [], -LIMIT
    for p in range(4096):
        while x < LIMIT and SQUASH[x + LIMIT] < 16 * p + 8:
            x += 1
        table.append(x)
    return tuple(table)


#: Probability in 1/4096 -> logit.
STRETCH: tuple[int, ...] = _stretch()

#: Uses of a slot -> share of the error by which its probability moves, in 1/65536: 1 / (n + 1.5).
RATES: tuple[int, ...] = tuple(131072 // (2 * n + 3) for n in range(1024))

#: Whole square roots of 0 to 576.
ROOTS: tuple[int, ...] = tuple(isqrt(n) for n in range(577))
