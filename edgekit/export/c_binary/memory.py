"""Where the values between layers lie in the one block of static memory, each reusing what is read no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lifetime:
    """A buffer: its size in words of 32 bits, the step that writes it and the last that reads it."""

    words: int
    first: int
    last: int


def place(buffers: Sequence[Lifetime]) -> tuple[list[int], int]:
    """The offset of every buffer in words, and the words in all. The largest are placed first, each as low as it fits."""
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for index in sorted(range(len(buffers)), key=lambda i: -buffers[i].words):
        mine, at = buffers[index], 0
        others = [i for i in placed if buffers[i].first <= mine.last and mine.first <= buffers[i].last]
        for other in sorted(others, key=lambda i: offsets[i]):
            if at + mine.words <= offsets[other]:
                break
            at = max(at, offsets[other] + buffers[other].words)
        offsets[index] = at
        placed.append(index)
    return offsets, max((offset + buffer.words for offset, buffer in zip(offsets, buffers, strict=True)), default=0)
