"""The table of an archive of several files: method, text before and size of each section, all before the first content.

Of all files but the first each section is expected to be as in the file before: its method what last became of such a method,
its size as many times as large as what last became of such an array.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.packing.channel import Channel
from edgekit.packing.sections import END, LIKE, PART
from edgekit.packing.table import Entry, Table


def code_table(channel: Channel, total: int, given: Sequence[tuple[int, int, int]] | None) -> Table:
    """Writes or reads the table.

    Args:
        channel: what it is written to or read from.
        total: bytes of all files in one.
        given: method, first byte and size of each section; None when reading.

    Raises:
        Damaged: what is read makes no sense.
    """
    table = Table(PART, total)
    became, ratios = _unchanged()
    while True:
        index = len(table.entries)
        method, start, size = (END, 0, 0) if given is None or index == len(given) else given[index]
        like = table.template(index)
        model = None if like is None else table.entries[like]
        told = -1 if model is None else became[model.method]
        method = channel.below(LIKE + 1, method, what="a method", told=PART if table.is_over(index) else told)
        if method == END:
            return table
        if method == PART:
            became, ratios = _unchanged()
            like, model = (table.parts[-1], None) if len(table.parts) > 1 else (None, None)
        gap = channel.below(
            total - table.end + 1, start - table.end, what="a length", told=-1 if like is None else table.gap_of(like)
        )
        start = table.end + gap
        if method != PART:
            ratio = (0, 1) if model is None else ratios[model.method]
            told = -1 if model is None else min(model.size * ratio[0] // ratio[1], total)
            size = channel.below(total - start + 1, size, what="a length", told=told)
        if model is not None:
            became[model.method] = method
            if model.size:
                ratios[model.method] = (size, model.size)
        table.add(Entry(method, start, size))


def _unchanged() -> tuple[list[int], list[tuple[int, int]]]:
    """By method: what becomes of it, and a size that came of a size."""
    return list(range(LIKE + 1)), [(1, 1)] * (LIKE + 1)
