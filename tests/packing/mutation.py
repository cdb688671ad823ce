"""Damage as it happens, and worse."""

from __future__ import annotations

import random


def mutants(archive: bytes, count: int, seed: int) -> list[bytes]:
    """Changed copies: bits turned, bytes replaced, cut out, doubled, cut off."""
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        data = bytearray(archive)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            at = rng.randrange(len(data))
            match rng.randrange(5):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
                case 2:
                    del data[at : at + rng.choice((1, 2, 4, 40))]
                case 3:
                    data[at:at] = data[at : at + rng.choice((1, 4, 16))]
                case _:
                    del data[at:]
            if not data:
                break
        out.append(bytes(data))
    return out


def forged(archive: bytes, head: int, count: int, seed: int) -> list[bytes]:
    """Copies whose head (its first bytes) is sound and whose content is changed early, where sections and codebooks stand."""
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        data = bytearray(archive)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(head, min(head + 40, len(data)))] = rng.randrange(256)
        out.append(bytes(data))
    return out
