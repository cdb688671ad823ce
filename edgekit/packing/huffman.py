"""Canonical Huffman codes, written and read by numpy in many places of one stream at a time.

For weights that are too many for the models, which go bit by bit: a million symbols take Python a fraction of a second. The
stream is one run of bits; the lanes are only places in it to start from, so that a C decoder may ignore them.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.packing.damage import Damaged

#: Bits of the longest code.
LONGEST = 15
_LANE = 4096
_MOST_LANES = 256


@dataclass(frozen=True)
class Stream:
    """Symbols as bits.

    Attributes:
        lengths: bits of each symbol's code, 0 for one that does not occur.
        lanes: bits of each lane but the last; a lane has ``lane_size`` symbols.
        bits: the stream, in whole bytes, highest bit first.
    """

    lengths: tuple[int, ...]
    lanes: tuple[int, ...]
    bits: bytes


def lane_size(count: int) -> int:
    """Symbols in a lane, for a stream of so many."""
    return max(_LANE, -(-count // _MOST_LANES))


def encode(symbols: NDArray[np.intp], alphabet: int) -> Stream:
    """The shortest code for the symbols of an alphabet, and what it makes of them."""
    counts = np.bincount(symbols, minlength=alphabet)
    lengths = _lengths(counts)
    sizes = lengths[symbols]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    # Bit j of a symbol's code stands at the symbol's first bit + j: repeat each symbol for each of its bits.
    owner = np.repeat(np.arange(len(symbols)), sizes)
    place = np.arange(total) - (ends - sizes)[owner]
    words = _codes(lengths)[symbols]
    bits = (words[owner] >> (sizes[owner] - 1 - place)) & 1
    edges = ends[lane_size(len(symbols)) - 1 : -1 : lane_size(len(symbols))]
    lanes = tuple(int(n) for n in np.diff(edges, prepend=0))
    return Stream(tuple(int(n) for n in lengths), lanes, np.packbits(bits.astype(np.uint8)).tobytes())


def decode(stream: Stream, count: int) -> NDArray[np.intp]:
    """The first ``count`` symbols of a stream.

    Raises:
        Damaged: the lengths are no code's, or the lanes do not fit the bits.
    """
    lengths = np.array(stream.lengths, np.int64)
    if not count:
        return np.zeros(0, np.intp)
    symbol_of, length_of = _table(lengths)
    step = lane_size(count)
    at = np.cumsum([0, *stream.lanes])
    if len(at) != -(-count // step) or at[-1] > 8 * len(stream.bits):
        raise Damaged("the lanes of a code do not fit it")
    data = np.frombuffer(stream.bits + bytes(8), np.uint8).astype(np.int64)
    last = 8 * len(stream.bits)
    out = np.zeros((len(at), step), np.intp)
    lanes = len(at)
    left = count - (lanes - 1) * step
    for i in range(step):
        if i == left:  # the last lane is over
            lanes -= 1
            at = at[:lanes]
            if not lanes:
                break
        byte = at >> 3
        word = data[byte] << 16 | data[byte + 1] << 8 | data[byte + 2]
        key = (word >> (24 - LONGEST - (at & 7))) & ((1 << LONGEST) - 1)
        out[:lanes, i] = symbol_of[key]
        at = np.minimum(at + length_of[key], last)
    return out.reshape(-1)[:count]


def _lengths(counts: NDArray[np.intp]) -> NDArray[np.int64]:
    """Bits of each symbol's code, none above LONGEST; one symbol alone takes one bit."""
    lengths = np.zeros(len(counts), np.int64)
    used = [int(i) for i in np.flatnonzero(counts)]
    if len(used) < 2:
        lengths[used] = 1
        return lengths
    weights = counts.astype(np.int64)
    while True:
        heap: list[tuple[int, int, tuple[int, ...]]] = [(int(weights[i]), i, (i,)) for i in used]
        heapq.heapify(heap)
        lengths[:] = 0
        while len(heap) > 1:
            a, i, some = heapq.heappop(heap)
            b, _, others = heapq.heappop(heap)
            together = some + others
            lengths[list(together)] += 1
            heapq.heappush(heap, (a + b, i, together))
        if lengths.max() <= LONGEST:
            return lengths
        weights[used] = weights[used] // 2 + 1  # flatter, until the longest code is short enough


def _codes(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes: of equal length in order of symbols, shorter ones before longer ones."""
    codes = np.zeros(len(lengths), np.int64)
    code = 0
    for length in range(1, LONGEST + 1):
        for symbol in np.flatnonzero(lengths == length):
            codes[symbol] = code
            code += 1
        code <<= 1
    return codes


def _table(lengths: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """For the next LONGEST bits: the symbol that they begin with, and the length of its code."""
    space = 1 << LONGEST
    taken = int((space >> lengths[lengths > 0]).sum())
    if taken > space or not taken or lengths.max() > LONGEST:
        raise Damaged("the lengths of a code are no code's")
    symbol_of, length_of = np.zeros(space, np.intp), np.full(space, LONGEST, np.int64)
    at = 0
    for length in range(1, LONGEST + 1):
        for symbol in np.flatnonzero(lengths == length):
            end = at + (space >> length)
            symbol_of[at:end], length_of[at:end] = symbol, length
            at = end
    return symbol_of, length_of
