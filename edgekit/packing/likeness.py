"""Arrays that are like one of the first file, number by number: the scales and the biases of a smaller network.

* ``SHORT``: float32 of eight leading bits, as the upper halves of their bytes. What is expected is the other array's number and
  the mean of how far those before were from theirs: as exponents lead, that is a mean of logarithms.
* ``SCALED``: int32 with a scale each. What is expected is the same real number: other * its scale / scale here. Numbers that
  end in zeros are written without these: each is a multiple of the largest power of two that, times its scale, is no more than
  a step common to all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.packing.channel import Channel
from edgekit.packing.damage import Damaged
from edgekit.packing.residuals import MOST, Residuals

SHORT, SCALED = range(2)

#: What a number counts for among the decisions of an archive.
DECISIONS = 6


@dataclass(frozen=True)
class Like:
    """How an array is like its counterpart.

    Attributes:
        kind: SHORT or SCALED.
        back: (scaled) so many sections before stand its scales.
        step: (scaled) upper half of the float32 step.
    """

    kind: int
    back: int = 0
    step: int = 0


def code_like(channel: Channel, size: int, given: bytes | None, form: Like | None) -> bytes:
    """Writes or reads such an array; arguments as in ``sections.code_array``.

    Raises:
        Damaged: what is read makes no sense.
    """
    along = channel.along
    theirs = None if along is None else along.counterpart()
    if along is None or theirs is None or channel.residuals is None or size % 4:
        raise Damaged("an array in it is like one that is not there")
    form = form or Like(0)
    entry, table, data = along.table.entries[along.index], along.table, along.data
    template = table.template(along.index)
    other = table.entries[theirs]
    count = min(size, other.size) // 4
    before = np.frombuffer(bytes(data[other.start : other.start + 4 * count]), "<u4").tolist()
    kind = channel.below(2, form.kind, what="a kind of likeness")
    wanted = None if given is None else np.frombuffer(given, "<u4").tolist()
    channel.spend(DECISIONS * (size // 4))
    channel.residuals.begin()
    if kind == SHORT:
        out = _short(channel.residuals, size // 4, before, wanted)
    else:
        told = -1 if template is None or table.entries[template].method != entry.method else table.entries[template].source
        most = along.index - table.parts[table.part_of(along.index)]
        entry.source = channel.below(most + 1, form.back, what="scales", told=told)
        scales = [table.entries[index - entry.source] for index in (along.index, theirs)]
        if entry.source == 0 or min(scale.size for scale in scales) < 4 * count or scales[0].size < size:
            raise Damaged("an array in it has scales that are not there")
        here, there = (
            np.frombuffer(bytes(data[s.start : s.start + 4 * n]), "<u4").tolist()
            for s, n in zip(scales, (size // 4, count), strict=True)
        )
        step = int.from_bytes(channel.text(2, None if given is None else form.step.to_bytes(2, "little")), "little") << 16
        out = _scaled(channel.residuals, size // 4, before, wanted, here, there, step)
    return np.array(out, "<u4").tobytes()


def _short(model: Residuals, count: int, before: list[int], wanted: list[int] | None) -> list[int]:
    out: list[int] = []
    away = last = 0
    for i in range(count):
        base = min(before[i] + 0x8000 >> 16, 0xFFFF) if i < len(before) else last
        expected = base + (away // i if i else 0)
        value = (expected + model.code(SHORT, 0 if wanted is None else (wanted[i] >> 16) - expected)) & 0xFFFF
        away += value - base
        last = value
        out.append(value << 16)
    return out


def _scaled(
    model: Residuals, count: int, before: list[int], wanted: list[int] | None, here: list[int], there: list[int], step: int
) -> list[int]:
    out: list[int] = []
    for i in range(count):
        zeros = zeros_of(here[i], step)
        expected = _same(before[i], there[i], here[i], zeros) if i < len(before) else 0
        residual = model.code(SCALED, 0 if wanted is None else (_signed(wanted[i]) >> zeros) - expected)
        out.append((expected + residual << zeros) & 0xFFFFFFFF)
    return out


def like_of(kind: int, given: bytes, scales: bytes, back: int) -> Like | None:
    """How to write an array as like its counterpart; None where it is not of that kind.

    Args:
        kind: SHORT or SCALED.
        given: the array.
        scales: (scaled) of each of its numbers.
        back: (scaled) how many sections before these stand.
    """
    numbers = np.frombuffer(given, "<u4").tolist()
    if kind == SHORT:
        return None if any(number & 0xFFFF for number in numbers) else Like(SHORT)
    if len(scales) != len(given) or any(abs(_signed(number)) >= MOST >> 1 for number in numbers):
        return None
    steps = [(scale, number & -number) for scale, number in zip(np.frombuffer(scales, "<u4").tolist(), numbers, strict=True)]
    least = min((scale + ((power.bit_length() - 1) << 23) for scale, power in steps if power), default=0)
    # The step is below twice the least: zeros are floor(log2(step / scale)).
    return Like(SCALED, back, min(max(least + (1 << 23) - 1 >> 16, 0), 0xFFFF))


def zeros_of(scale: int, step: int) -> int:
    """The power of two that, times a scale, is no more than the step; both as the bits of a float32. 0 to 31."""
    if not 1 << 23 <= scale < 255 << 23 or not 1 << 23 <= step < 255 << 23:
        return 0
    return min(max((step - scale) >> 23, 0), 31)


def _same(number: int, there: int, here: int, zeros: int) -> int:
    """floor(number * there / (here * 2^zeros)), the scales as bits of float32; 0 where that is no number of 31 bits."""
    if not (1 << 23 <= there < 255 << 23 and 1 << 23 <= here < 255 << 23):
        return 0
    by = (there >> 23) - (here >> 23) - zeros
    top, below = _signed(number) * (there & 0x7FFFFF | 0x800000), here & 0x7FFFFF | 0x800000
    if not -38 <= by <= 7:
        return 0
    found = (top << by) // below if by >= 0 else top // (below << -by)
    return found if -(MOST >> 1) < found < MOST >> 1 else 0


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number
